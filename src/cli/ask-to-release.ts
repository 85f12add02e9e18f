import type { Config } from "../config.ts";
import { CONFIRM_HEADER, releasePath } from "../http/brakes.ts";

const TIMEOUT_MS = 5000;

/**
 * Ask the process that answers HTTP by this configuration to release brakes.
 *
 * @throws When it does not.
 */
export async function askToRelease(listen: Config["http"]["listen"], registries: readonly string[]): Promise<void> {
  const host = listen.address.includes(":") ? `[${listen.address}]` : listen.address;
  const base = `http://${host}:${listen.port}`;
  for (const registry of registries) {
    const because = `Cannot release the brake of "${registry}" as ${base} must be the process that writes`;
    const answer = await fetch(base + releasePath(registry), {
      method: "POST",
      headers: { [CONFIRM_HEADER]: registry },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    }).catch((cause: unknown) => {
      throw new Error(because, { cause });
    });
    if (!answer.ok) throw new Error(`${because}: it answered ${answer.status}: ${(await answer.text()).trim()}`);
  }
}
