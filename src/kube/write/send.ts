import { backOffMs, jittered, pause } from "../../async/back-off.ts";
import type { WriteOptions } from "../../model/target.ts";
import type { KubeClient, KubeRequest } from "../client/client.ts";
import { KubeStatusError } from "../client/kube-error.ts";

/** What came of one write request. */
export type Sent =
  | { readonly state: "answered"; readonly body: unknown }
  | { readonly state: "refused"; readonly error: KubeStatusError }
  | { readonly state: "lost"; readonly error: unknown } // no answer: it may have been done all the same
  | { readonly state: "withheld" }; // not sent, or turned away for now and not sent again

type Permission = Pick<WriteOptions, "signal" | "mayWrite">;

const MAX_RETRIES = 3;
const MAX_WAIT_MS = 10_000;

/**
 * Send a write if `mayWrite` allows it at that moment, again when the server is too busy (429, 503 with Retry-After).
 *
 * A request that is under way is not broken off by `signal`, as nobody would know what became of it; it ends by its own time limit.
 */
export async function send(client: KubeClient, request: KubeRequest, { signal, mayWrite }: Permission): Promise<Sent> {
  for (let retries = 0; ; retries++) {
    if (signal.aborted || !mayWrite()) return { state: "withheld" };
    try {
      return { state: "answered", body: await client.request(request) };
    } catch (error) {
      if (!(error instanceof KubeStatusError)) return { state: "lost", error };
      if (!isBusy(error) || retries === MAX_RETRIES) return { state: "refused", error };
      await pause(
        Math.min(MAX_WAIT_MS, (error.retryAfterSeconds ?? 0) * 1000) +
          jittered(backOffMs(retries + 1, { firstMs: 200, mostMs: 2000 })),
        signal,
      );
    }
  }
}

function isBusy({ status, retryAfterSeconds }: KubeStatusError): boolean {
  return status === 429 || (status === 503 && retryAfterSeconds !== undefined);
}
