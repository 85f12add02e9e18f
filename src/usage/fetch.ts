import { callReplica, type Replica } from "./call.ts";
import type { UsageJson } from "./json.ts";

const CALL_TIMEOUT_MS = 10_000;

/**
 * What one replica tells of the use of names.
 *
 * @throws When nobody answers there.
 */
export async function fetchUsage(replica: Replica, signal: AbortSignal): Promise<UsageJson> {
  const ended = AbortSignal.any([signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
  try {
    return await callReplica(replica, "/api/usage", { signal: ended }, async (answer) => {
      if (answer.status === 401 || answer.status === 403) {
        const advice = answer.status === 401 ? " Give it by --token-file" : "";
        throw new Error(`GET /api/usage answered ${answer.status}: ${(await answer.text()).trim()}${advice}`);
      }
      if (answer.status !== 200) throw new Error(`GET /api/usage answered ${answer.status}`);
      return readUsage(await answer.json());
    });
  } catch (cause) {
    signal.throwIfAborted();
    const { address, ca } = replica;
    const certificate = address.startsWith("https:") && ca === undefined ? ", and what verifies it by --ca" : "";
    throw new Error(
      `Cannot read the usage from ${address}: is x2istio run running there? Name it by --from${certificate}`,
      { cause },
    );
  }
}

function readUsage(value: unknown): UsageJson {
  const { knownSince, services } = value as Partial<UsageJson>;
  if (typeof knownSince !== "string" || !Array.isArray(services)) throw new Error("the answer is none of x2istio's");
  return { knownSince, services };
}
