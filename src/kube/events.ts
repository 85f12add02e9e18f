import { createHash } from "node:crypto";
import type { Log } from "../log.ts";
import type { Hold } from "../model/plan.ts";
import type { ForeignObject } from "../model/standing.ts";
import type { WriteOptions } from "../model/target.ts";
import { FIELD_MANAGER, type KubeClient, WRITE_TIMEOUT_MS } from "./client.ts";
import { each } from "./each.ts";
import { hasStatus } from "./kube-error.ts";
import { collectionPath, objectPath, RESOURCES, type Resource } from "./resources.ts";
import { send } from "./send.ts";

/** Writes Events on the objects that stand in our way, so that their owners find out. */
export interface EventWriter {
  /** Never throws; each hold is written once per process, and not at all if its Event is there already. */
  report(holds: readonly Hold[], options: WriteOptions): Promise<void>;
}

/** Options of {@link eventWriter}. */
export interface EventWriterOptions {
  readonly client: KubeClient;
  readonly owner: string;
  readonly foreign: ReadonlyMap<string, ForeignObject>;
  readonly log?: Pick<Log, "warn"> | undefined;
}

const MAX_KNOWN = 10_000;
const IN_FLIGHT = 4;
/** New Events of one pass; the next one goes on. A pass is not to be held up by whoever makes thousands of clashes. */
const MOST_AT_ONCE = 50;

/** What an object's author can mend. What cannot be read now, or is held by the brake, is the operator's. */
const TOLD: ReadonlySet<Hold["reason"]> = new Set(["foreign", "name", "invalid", "orphan"]);

/** Create a writer of Events. */
export function eventWriter({ client, owner, foreign, log }: EventWriterOptions): EventWriter {
  const known = new Set<string>();

  function remember(name: string): void {
    const [oldest] = known;
    if (known.size >= MAX_KNOWN && oldest !== undefined) known.delete(oldest);
    known.add(name);
  }

  async function write(hold: Hold, about: ForeignObject, options: WriteOptions): Promise<void> {
    const name = eventName(owner, hold);
    if (known.has(name)) return;
    remember(name);
    try {
      if (await isThere(client, about.namespace, name)) return;
      const path = collectionPath(RESOURCES.Event, about.namespace);
      const body = eventOf(name, hold, about, owner, new Date(client.nowMs()));
      const sent = await send(
        client,
        { method: "POST", path, action: `create Event ${about.namespace}/${name}`, body, operation: "event" },
        options,
      );
      if (sent.state === "withheld") known.delete(name);
      if (sent.state === "lost" || (sent.state === "refused" && sent.error.status !== 409)) throw sent.error;
    } catch (error) {
      // It stays among the known: an Event is not worth trying at every pass.
      log?.warn({ event: `${about.namespace}/${name}`, error }, "an Event cannot be written");
    }
  }

  return {
    async report(holds, options) {
      const due = holds.flatMap((hold) => {
        const about = hold.regarding === undefined ? undefined : foreign.get(hold.regarding);
        return about !== undefined && TOLD.has(hold.reason) ? [{ hold, about }] : [];
      });
      const fresh = due.filter(({ hold }) => !known.has(eventName(owner, hold))).slice(0, MOST_AT_ONCE);
      await each(fresh, IN_FLIGHT, ({ hold, about }) => write(hold, about, options));
    },
  };
}

function eventName(owner: string, { subject, reason }: Hold): string {
  return `x2istio-${owner}-${createHash("sha256").update(`${subject}\n${reason}`).digest("hex").slice(0, 12)}`;
}

async function isThere(client: KubeClient, namespace: string, name: string): Promise<boolean> {
  try {
    await client.request({
      method: "GET",
      path: objectPath(RESOURCES.Event, namespace, name),
      action: `read Event ${namespace}/${name}`,
      timeoutMs: WRITE_TIMEOUT_MS,
    });
    return true;
  } catch (error) {
    if (hasStatus(error, 404)) return false;
    throw error;
  }
}

/** An object that is in our way holds a name; one that is to be filled is held itself. */
function reasonOf({ reason }: Hold, kind: string): string {
  if (reason === "invalid" || reason === "orphan") return "EntryHeld";
  return kind === "Service" ? "AliasHeld" : "NameHeld";
}

function eventOf(
  name: string,
  hold: Hold,
  { kind, namespace, name: aboutName, uid }: ForeignObject,
  owner: string,
  now: Date,
): object {
  const time = now.toISOString().replace(/\.\d+/, "");
  const { apiVersion } = (RESOURCES as Readonly<Record<string, Resource>>)[kind] ?? RESOURCES.Service;
  return {
    apiVersion: RESOURCES.Event.apiVersion,
    kind: RESOURCES.Event.kind,
    metadata: { name, namespace },
    type: "Warning",
    reason: reasonOf(hold, kind),
    message: `x2istio holds ${hold.subject}${hold.service === undefined ? "" : ` of ${hold.service}`}: ${hold.message}`,
    involvedObject: { apiVersion, kind, namespace, name: aboutName, uid },
    source: { component: FIELD_MANAGER },
    reportingComponent: FIELD_MANAGER,
    reportingInstance: owner,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  };
}
