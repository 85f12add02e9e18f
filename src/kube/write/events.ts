import { createHash } from "node:crypto";
import { each } from "../../async/each.ts";
import type { Log } from "../../log.ts";
import type { Hold } from "../../model/plan.ts";
import type { Standing } from "../../model/standing.ts";
import type { Notice, WriteOptions } from "../../model/target.ts";
import { plainText } from "../../text.ts";
import { FIELD_MANAGER, type KubeClient } from "../client/client.ts";
import { createRequest, readObject } from "../client/object-requests.ts";
import { RESOURCES, type Resource } from "../client/resources.ts";
import { leaseName } from "../lease/lease-record.ts";
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

/** Holds that an object's author can end. What cannot be read now, or is held by the brake, is the operator's. */
const REPORTED: ReadonlySet<Hold["reason"]> = new Set(["address", "foreign", "name", "invalid", "orphan", "stage"]);

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

/** An Event that is to be written if it is not there. */
interface Draft {
  readonly name: string;
  readonly about: Subject;
  readonly reason: string;
  readonly message: string;
}

/** Create a writer of Events. */
export function eventWriter(options: EventWriterOptions): EventWriter {
  const known = new Map<string, number>();
  const isNew = (draft: Draft | undefined): draft is Draft =>
    draft !== undefined && (known.get(draft.name) ?? 0) <= performance.now();
  return {
    async report(holds, permission, notices = []) {
      const lasting = holds
        .map((hold) => ofHold(hold, options))
        .filter(isNew)
        .slice(0, MOST_AT_ONCE);
      const passing = notices
        .map((notice) => ofNotice(notice, options))
        .filter(isNew)
        .slice(0, MOST_AT_ONCE);
      for (const { name } of lasting) remember(known, name, Number.POSITIVE_INFINITY);
      for (const { name } of passing) remember(known, name, performance.now() + NOTICE_MS);
      await each([...lasting, ...passing], IN_FLIGHT, (draft) => write(draft, options, known, permission));
    },
  };
}

/** Names of Events, and until when each is not written again; by the monotonic clock. */
type Known = Map<string, number>;

function remember(known: Known, name: string, untilMs: number): void {
  const [oldest] = known.keys();
  if (known.size >= MAX_KNOWN && oldest !== undefined) known.delete(oldest);
  known.set(name, untilMs);
}

async function write(
  draft: Draft,
  { client, owner, log }: EventWriterOptions,
  known: Known,
  permission: WriteOptions,
): Promise<void> {
  const ref = { resource: RESOURCES.Event, namespace: draft.about.namespace, name: draft.name };
  try {
    if ((await readObject(client, ref)) !== undefined) return;
    const request = createRequest(ref, eventOf(draft, owner, new Date(client.nowMs())), "event");
    const sent = await send(client, request, permission);
    if (sent.state === "withheld") known.delete(draft.name);
    if (sent.state === "lost" || (sent.state === "refused" && sent.error.status !== 409)) throw sent.error;
  } catch (error) {
    // It stays among the known: an Event is not worth trying at every pass.
    log?.warn({ event: `${ref.namespace}/${ref.name}`, error }, "an Event cannot be written");
  }
}

function ofHold(hold: Hold, { owner, standing }: EventWriterOptions): Draft | undefined {
  const { reason, subject, service, message, regarding } = hold;
  const object = regarding === undefined ? undefined : standing.foreign.get(regarding);
  if (object === undefined || !REPORTED.has(reason)) return undefined;
  return {
    name: eventName(owner, subject, reason),
    about: { ...object, apiVersion: apiVersionOf(object.kind) },
    reason: reasonOf(hold, object.kind),
    message:
      reason === "address"
        ? message
        : `x2istio holds ${subject}${service === undefined ? "" : ` of ${service}`}: ${message}`,
  };
}

function ofNotice(notice: Notice, { owner, namespace, standing }: EventWriterOptions): Draft | undefined {
  const { reason, subject, message, regarding } = notice;
  const name = eventName(owner, subject, reason);
  if (regarding === undefined) {
    const { apiVersion, kind } = RESOURCES.Lease;
    return { name, about: { apiVersion, kind, namespace, name: leaseName(owner) }, reason, message };
  }
  const object = standing.objects.get(regarding);
  if (object === undefined) return undefined;
  const { apiVersion, kind, metadata } = object.manifest;
  const about = { apiVersion, kind, namespace: metadata.namespace, name: metadata.name, uid: object.uid };
  return { name, about, reason, message };
}

function eventName(owner: string, subject: string, reason: string): string {
  return `x2istio-${owner}-${createHash("sha256").update(`${subject}\n${reason}`).digest("hex").slice(0, 12)}`;
}

function apiVersionOf(kind: string): string {
  return ((RESOURCES as Readonly<Record<string, Resource>>)[kind] ?? RESOURCES.Service).apiVersion;
}

/** An object that is in our way holds a name; one that is to be filled is held itself. */
function reasonOf({ reason }: Hold, kind: string): string {
  if (reason === "stage") return "StepRefused";
  if (reason === "address") return "VipClaimed";
  if (reason === "invalid" || reason === "orphan") return "EntryHeld";
  return kind === "Service" ? "AliasHeld" : "NameHeld";
}

function eventOf({ name, about, reason, message }: Draft, owner: string, now: Date): object {
  const time = now.toISOString().replace(/\.\d+/, "");
  const { apiVersion, kind, namespace, name: aboutName, uid } = about;
  return {
    metadata: { name, namespace },
    type: "Warning",
    reason,
    message: plainText(message, MAX_MESSAGE),
    involvedObject: { apiVersion, kind, namespace, name: aboutName, ...(uid === undefined ? {} : { uid }) },
    source: { component: FIELD_MANAGER },
    reportingComponent: FIELD_MANAGER,
    reportingInstance: owner,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  };
}
