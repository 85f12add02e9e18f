import { createHash } from "node:crypto";
import type { Log } from "../log.ts";
import type { Hold } from "../model/plan.ts";
import type { Standing } from "../model/standing.ts";
import type { Notice, WriteOptions } from "../model/target.ts";
import { FIELD_MANAGER, type KubeClient, WRITE_TIMEOUT_MS } from "./client.ts";
import { each } from "./each.ts";
import { hasStatus } from "./kube-error.ts";
import { collectionPath, objectPath, RESOURCES, type Resource } from "./resources.ts";
import { send } from "./send.ts";

/** Writes Events on the objects that stand in our way, so that their owners find out, and on ours and our Lease. */
export interface EventWriter {
  /**
   * Never throws; each hold is written once per process, a notice once an hour, and neither if its Event is there already.
   */
  report(holds: readonly Hold[], options: WriteOptions, notices?: readonly Notice[]): Promise<void>;
}

/** Options of {@link eventWriter}. */
export interface EventWriterOptions {
  readonly client: KubeClient;
  readonly owner: string;
  /** Where our Lease is: notices that are about no object are about that. */
  readonly namespace: string;
  readonly standing: Pick<Standing, "foreign" | "objects">;
  readonly log?: Pick<Log, "warn"> | undefined;
}

const MAX_KNOWN = 10_000;
const IN_FLIGHT = 4;
/** New Events of one pass; the next one goes on. A pass is not to be held up by whoever makes thousands of clashes. */
const MOST_AT_ONCE = 50;
/** What the API server takes of an Event's message (apimachinery, events validation). */
const MAX_MESSAGE = 1024;

/** What an object's author can mend. What cannot be read now, or is held by the brake, is the operator's. */
const TOLD: ReadonlySet<Hold["reason"]> = new Set(["foreign", "name", "invalid", "orphan", "stage"]);

/** An Event is kept for an hour by default. */
const NOTICE_MS = 3_600_000;

/** What an Event is about. */
interface Subject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string;
}

interface Told {
  readonly name: string;
  readonly about: Subject;
  readonly reason: string;
  readonly message: string;
}

/** Create a writer of Events. */
export function eventWriter({ client, owner, namespace, standing, log }: EventWriterOptions): EventWriter {
  /** By name, until when it is not looked at again; by the monotonic clock. */
  const known = new Map<string, number>();

  const isKnown = (name: string) => (known.get(name) ?? 0) > performance.now();

  function remember(name: string, untilMs: number): void {
    const [oldest] = known.keys();
    if (known.size >= MAX_KNOWN && oldest !== undefined) known.delete(oldest);
    known.set(name, untilMs);
  }

  async function write({ name, about, ...told }: Told, options: WriteOptions): Promise<void> {
    try {
      if (await isThere(client, about.namespace, name)) return;
      const sent = await send(
        client,
        {
          method: "POST",
          path: collectionPath(RESOURCES.Event, about.namespace),
          action: `create Event ${about.namespace}/${name}`,
          body: eventOf({ name, about, ...told }, owner, new Date(client.nowMs())),
          operation: "event",
        },
        options,
      );
      if (sent.state === "withheld") known.delete(name);
      if (sent.state === "lost" || (sent.state === "refused" && sent.error.status !== 409)) throw sent.error;
    } catch (error) {
      // It stays among the known: an Event is not worth trying at every pass.
      log?.warn({ event: `${about.namespace}/${name}`, error }, "an Event cannot be written");
    }
  }

  function ofHold(hold: Hold): Told | undefined {
    const { reason, subject, service, message, regarding } = hold;
    const object = regarding === undefined ? undefined : standing.foreign.get(regarding);
    if (object === undefined || !TOLD.has(reason)) return undefined;
    return {
      name: eventName(owner, subject, reason),
      about: { ...object, apiVersion: apiVersionOf(object.kind) },
      reason: reasonOf(hold, object.kind),
      message: `x2istio holds ${subject}${service === undefined ? "" : ` of ${service}`}: ${message}`,
    };
  }

  function ofNotice({ reason, subject, message, regarding }: Notice): Told | undefined {
    const name = eventName(owner, subject, reason);
    if (regarding === undefined) {
      const { apiVersion, kind } = RESOURCES.Lease;
      return { name, about: { apiVersion, kind, namespace, name: `x2istio-${owner}` }, reason, message };
    }
    const object = standing.objects.get(regarding);
    if (object === undefined) return undefined;
    const { apiVersion, kind, metadata } = object.manifest;
    const { namespace: place, name: objectName } = metadata;
    return { name, about: { apiVersion, kind, namespace: place, name: objectName, uid: object.uid }, reason, message };
  }

  return {
    async report(holds, options, notices = []) {
      const isNew = (told: Told | undefined): told is Told => told !== undefined && !isKnown(told.name);
      const lasting = holds.map(ofHold).filter(isNew).slice(0, MOST_AT_ONCE);
      const passing = notices.map(ofNotice).filter(isNew).slice(0, MOST_AT_ONCE);
      for (const { name } of lasting) remember(name, Number.POSITIVE_INFINITY);
      for (const { name } of passing) remember(name, performance.now() + NOTICE_MS);
      await each([...lasting, ...passing], IN_FLIGHT, (told) => write(told, options));
    },
  };
}

function eventName(owner: string, subject: string, reason: string): string {
  return `x2istio-${owner}-${createHash("sha256").update(`${subject}\n${reason}`).digest("hex").slice(0, 12)}`;
}

function apiVersionOf(kind: string): string {
  return ((RESOURCES as Readonly<Record<string, Resource>>)[kind] ?? RESOURCES.Service).apiVersion;
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
  if (reason === "stage") return "StepRefused";
  if (reason === "invalid" || reason === "orphan") return "EntryHeld";
  return kind === "Service" ? "AliasHeld" : "NameHeld";
}

function eventOf({ name, about, reason, message }: Told, owner: string, now: Date): object {
  const time = now.toISOString().replace(/\.\d+/, "");
  const { apiVersion, kind, namespace, name: aboutName, uid } = about;
  return {
    apiVersion: RESOURCES.Event.apiVersion,
    kind: RESOURCES.Event.kind,
    metadata: { name, namespace },
    type: "Warning",
    reason,
    message: message.slice(0, MAX_MESSAGE),
    involvedObject: { apiVersion, kind, namespace, name: aboutName, ...(uid === undefined ? {} : { uid }) },
    source: { component: FIELD_MANAGER },
    reportingComponent: FIELD_MANAGER,
    reportingInstance: owner,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  };
}
