import { describeError } from "../../src/errors.ts";
import type { Adapter, Snapshot } from "../../src/model/adapter.ts";
import type { Service } from "../../src/model/service.ts";

/** An adapter that tells of changes. */
export type Registry = Adapter & Required<Pick<Adapter, "waitForChange" | "close">>;

/** A snapshot, within a minute. */
export function read(adapter: Adapter, trigger: "poll" | "hint" = "poll"): Promise<Snapshot> {
  return adapter.read(AbortSignal.timeout(60_000), { trigger });
}

/** Wait for hints until what is read on them is as wanted. */
export async function readUntil(
  adapter: Registry,
  before: Snapshot,
  isWanted: (snapshot: Snapshot) => boolean,
): Promise<Snapshot> {
  let snapshot = before;
  while (!isWanted(snapshot)) {
    await adapter.waitForChange(snapshot.revision, AbortSignal.timeout(60_000));
    snapshot = await read(adapter, "hint");
  }
  return snapshot;
}

/** The services that were read, by name. */
export function services(snapshot: Snapshot): Readonly<Record<string, Service>> {
  return Object.fromEntries(
    snapshot.services.flatMap((one) => (one.state === "ok" ? [[one.service.name, one.service]] : [])),
  );
}

/** Addresses of a service's endpoints. */
export function addresses(snapshot: Snapshot, name: string): readonly string[] | undefined {
  return services(snapshot)[name]?.endpoints.map(({ address }) => address);
}

/** Why services could not be read, by key. */
export function failures(snapshot: Snapshot): Readonly<Record<string, string>> {
  return Object.fromEntries(
    snapshot.services.flatMap((one) => (one.state === "failed" ? [[one.key, describeError(one.cause)]] : [])),
  );
}
