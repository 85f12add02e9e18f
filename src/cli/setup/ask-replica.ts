import type { HttpConfig } from "../../config/config.ts";
import { type Ask, askPath, CONFIRM_HEADER } from "../../http/asks.ts";
import { callReplica } from "../../usage/call.ts";
import { ownReplica } from "./replicas.ts";

const TIMEOUT_MS = 5000;
const DOING = { release: "release the brake of", prune: "prune" } as const;

/**
 * Ask the process that answers HTTP by this configuration for something about a registry.
 *
 * @throws When it does not do it.
 */
export async function askReplica(http: HttpConfig, ask: Ask, registry: string): Promise<void> {
  const replica = await ownReplica(http);
  const because = `Cannot ${DOING[ask]} "${registry}" as ${replica.address} must be the process that writes`;
  const asked = { headers: { [CONFIRM_HEADER]: registry }, signal: AbortSignal.timeout(TIMEOUT_MS) };
  const answer = await callReplica(replica, askPath(ask, registry), { method: "POST", ...asked }, async (given) => ({
    status: given.status,
    text: await given.text(),
  })).catch((cause: unknown) => {
    throw new Error(because, { cause });
  });
  if (answer.status !== 202) throw new Error(`${because}: it answered ${answer.status}: ${answer.text.trim()}`);
}
