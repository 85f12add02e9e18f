import { describeError } from "../../errors.ts";
import { fieldsOf, stringsOf } from "../../istio/fields.ts";
import type { Log } from "../../log.ts";
import type { KubeClient } from "../client/client.ts";
import { hasStatus } from "../client/kube-error.ts";
import { listAll } from "../client/list.ts";
import type { RawObject } from "../client/raw.ts";

export const SERVICE_CIDRS = "/apis/networking.k8s.io/v1/servicecidrs";
/** They are added to a cluster by hand, once in years. */
const FRESH_MS = 600_000;
/** After a failure. */
const AGAIN_MS = 60_000;
const PAGE_SIZE = 250;
const TIMEOUT_MS = 5000;

/** The CIDRs of one ServiceCIDR. */
export function cidrsOf(raw: RawObject): readonly string[] {
  return stringsOf(fieldsOf(raw.spec).cidrs);
}

/**
 * Tells the ranges from which the cluster's Services get their addresses, read again every 10 minutes; as they were last known where
 * that fails. None before Kubernetes 1.33, and without the right to list them, which is logged once. Takes at most 5 s, and never fails.
 */
export function serviceRanges(client: KubeClient, log: Pick<Log, "info">): () => Promise<readonly string[]> {
  let known: readonly string[] = [];
  let askAtMs = Number.NEGATIVE_INFINITY;
  let asking: Promise<readonly string[]> | undefined;
  let isSaid = false;

  async function ask(): Promise<readonly string[]> {
    try {
      const found: string[] = [];
      await listAll(client, {
        ...{ path: SERVICE_CIDRS, title: "servicecidrs", pageSize: PAGE_SIZE, signal: AbortSignal.timeout(TIMEOUT_MS) },
        onBegin: () => void found.splice(0),
        onItem: (raw) => void found.push(...cidrsOf(raw)),
      });
      known = found.sort();
      askAtMs = performance.now() + FRESH_MS;
    } catch (error) {
      askAtMs = performance.now() + AGAIN_MS;
      if (!isSaid && !hasStatus(error, 404)) {
        isSaid = true;
        log.info(
          { why: describeError(error) },
          "the ranges of the cluster's Services are not known: endpoints may be in them",
        );
      }
    }
    return known;
  }

  return async () => {
    if (performance.now() < askAtMs) return known;
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  };
}
