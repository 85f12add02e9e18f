import { describeError, ReadError, readFailure } from "../../errors.ts";
import type { Adapter, ServiceRead, Snapshot } from "../../model/adapter.ts";
import type { Secrets } from "../../secrets.ts";
import { plainText } from "../../text.ts";

/** Of an error of a registry. */
const MOST_CHARACTERS = 4000;

/**
 * The adapter with its errors made fit to be shown: this is where errors of registries enter. Secrets are masked, also those that a
 * server sent back, and what a terminal would obey is taken out. What is fit already stays the same object.
 */
export function withPlainErrors(adapter: Adapter, secrets: Secrets): Adapter {
  const plain = plainWith(secrets);
  const { waitForChange } = adapter;
  return {
    ...adapter,
    read: async (signal, options) => plain.snapshot(await rethrown(adapter.read(signal, options))),
    ...(waitForChange === undefined
      ? {}
      : { waitForChange: (revision, signal) => rethrown(waitForChange(revision, signal)) }),
  };

  async function rethrown<Result>(done: Promise<Result>): Promise<Result> {
    try {
      return await done;
    } catch (error) {
      throw plain.error(error);
    }
  }
}

function plainWith(secrets: Secrets) {
  const errors = new WeakMap<object, unknown>();
  const reads = new WeakMap<ServiceRead, ServiceRead>();
  const text = (said: string) => plainText(secrets.mask(said), MOST_CHARACTERS);

  function error(given: unknown): unknown {
    if (typeof given !== "object" || given === null) return text(String(given));
    const known = errors.get(given);
    if (known !== undefined) return known;
    const said = describeError(given);
    const shown = text(said);
    const failure = readFailure(given);
    const made = failure === "other" ? new Error(shown) : new ReadError(failure, shown);
    const kept = shown === said ? given : made;
    errors.set(given, kept);
    return kept;
  }

  /** The same read again is the same read again. */
  function read(given: ServiceRead): ServiceRead {
    if (given.state === "ok") return given;
    const known = reads.get(given);
    if (known !== undefined) return known;
    const cause = error(given.cause);
    const kept = cause === given.cause ? given : { ...given, cause };
    reads.set(given, kept);
    return kept;
  }

  function snapshot(given: Snapshot): Snapshot {
    const { services, incomplete } = given;
    const plainServices = services.map(read);
    const isSame = plainServices.every((one, at) => one === services[at]);
    const why = incomplete === undefined ? undefined : text(incomplete);
    if (isSame && why === incomplete) return given;
    return { ...given, services: plainServices, ...(why === undefined ? {} : { incomplete: why }) };
  }

  return { error, snapshot };
}
