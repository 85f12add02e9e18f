import { backOff, pause } from "../../src/async/back-off.ts";
import type { ConsulClient } from "./client/client.ts";
import type { Datacenter } from "./datacenter.ts";
import { REGISTRATIONS } from "./tables.ts";
import { PAUSE } from "./watch.ts";

/** Whose registrations, and who wants to know. */
export interface RegistrationOptions {
  readonly reader: Pick<Datacenter, "name" | "indexes" | "doubt">;
  readonly client: Pick<ConsulClient, "get">;
  readonly everyMs: number;
  /** Told of each index that is higher than the one before. */
  readonly onMoved?: (index: number) => void;
  /** Told after each question whether it was answered. */
  readonly onState?: (isWell: boolean) => void;
}

/**
 * Ask again and again for the index of all registrations, until `signal` aborts. One that goes backwards is in doubt: a blocking query
 * that was sent just after a restore waits for an index of before, in vain and for as long as it may, and does not tell.
 */
export async function watchRegistrations(
  { reader, client, everyMs, onMoved, onState }: RegistrationOptions,
  signal: AbortSignal,
): Promise<void> {
  const query = { dc: reader.name, params: REGISTRATIONS.params, fromLeader: true };
  let known = reader.indexes().services;
  let failures = 0;
  for (await pause(everyMs, signal); !signal.aborted; await pause(everyMs, signal)) {
    try {
      const least = Math.max(known, reader.indexes().services); // as lists tell it, which may come first
      const { index } = await client.get(REGISTRATIONS.path, query, signal);
      if (index > known) onMoved?.(index);
      if (index > 0 && index < least) reader.doubt();
      known = index;
      failures = 0;
      onState?.(true);
    } catch {
      onState?.(false);
      await backOff(++failures, signal, PAUSE).catch(() => {});
    }
  }
}
