import type { HttpConfig } from "../../config/config.ts";
import { CONFIRM_HEADER, releasePath } from "../../http/brakes.ts";
import { callReplica } from "../../usage/call.ts";
import { ownReplica } from "./replicas.ts";

const TIMEOUT_MS = 5000;

/**
 * Ask the process that answers HTTP by this configuration to release brakes.
 *
 * @throws When it does not.
 */
export async function askToRelease(http: HttpConfig, registries: readonly string[]): Promise<void> {
  const replica = await ownReplica(http);
  for (const registry of registries) {
    const because = `Cannot release the brake of "${registry}" as ${replica.address} must be the process that writes`;
    const asked = { headers: { [CONFIRM_HEADER]: registry }, signal: AbortSignal.timeout(TIMEOUT_MS) };
    const answer = await callReplica(replica, releasePath(registry), { method: "POST", ...asked }, async (given) => ({
      status: given.status,
      text: await given.text(),
    })).catch((cause: unknown) => {
      throw new Error(because, { cause });
    });
    if (answer.status !== 202) throw new Error(`${because}: it answered ${answer.status}: ${answer.text.trim()}`);
  }
}
