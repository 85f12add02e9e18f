import type { ObjectKey, OwnedObject } from "./objects.ts";
import type { ServiceKey } from "./service.ts";
import type { StandingObject } from "./standing.ts";

/** Why something stays as it is. The key of metrics and of JSON output; `message` is for people. */
export type HoldReason =
  | "address" // no VIP could be given, or someone else claims one
  | "brake" // too much would be emptied or deleted at once
  | "foreign" // an object of that name exists and is not ours
  | "gateway" // its gateway does not take it
  | "invalid" // Istio or Kubernetes would refuse it
  | "limit" // there are more services of a registry, or names of a service, than may stand
  | "kind" // the cluster does not know this kind of object
  | "name" // host, alias or legacy name is taken
  | "namespace" // the namespace is missing or terminating
  | "orphan" // no configured registry speaks for it
  | "refused" // the target refuses it again and again
  | "service" // the service that it is to lead to is not listed
  | "stage" // a step of a move is refused
  | "unread" // its registry or service could not be read
  | "terminating" // it is being deleted, and a finalizer keeps it
  | "upsert-only" // the mode forbids it
  | "unknown" // ours by label, but without a service annotation
  | "yielded"; // someone took it over

/** Something that is left as it is, with a reason. */
export interface Hold {
  readonly reason: HoldReason;
  /** What is held: an object key, or a host or legacy name. */
  readonly subject: string;
  readonly service: ServiceKey | undefined;
  /** Services that it concerns and that are not kept from being updated: they go on, or do not stand. */
  readonly services?: readonly ServiceKey[];
  readonly registry: string;
  /** One sentence without a full stop: `a Service of that name exists and is not ours`. */
  readonly message: string;
  /** Set where nobody has to decide: it stays so for as long as the configuration does, and is right so. */
  readonly isLasting?: true;
  /** A Kubernetes object the hold is about (for an Event on it): a foreign Service. */
  readonly regarding?: ObjectKey;
}

/** Whether a hold concerns a service. */
export function concerns({ service, services }: Hold, key: ServiceKey): boolean {
  return service === key || services?.includes(key) === true;
}

/** What must have been written before a change is: it lets go of names that are another's by now, or leads to what is new. */
export interface Turn {
  /** Keys of changes of the same plan; where one of them cannot be made, the change waits. */
  readonly after: readonly ObjectKey[];
  /** Written instead while the change waits: as it should be, with the names that it lets go of. */
  readonly meanwhile?: OwnedObject;
  /** Written before all that, where others wait for a name that it is given: what stands, with that name. */
  readonly first?: OwnedObject;
}

export interface Create {
  readonly kind: "create";
  readonly object: OwnedObject;
}
export interface Update {
  readonly kind: "update";
  readonly object: OwnedObject;
  readonly standing: StandingObject;
  /** Set on an entry that someone else wrote by hand: whether its service is still listed. */
  readonly premade?: "listed" | "gone";
  readonly turn?: Turn;
}
export interface Delete {
  readonly kind: "delete";
  readonly standing: StandingObject;
  /** `gone for 1h`, `its alias rule was removed` */
  readonly why: string;
  readonly turn?: Turn;
}
export type Change = Create | Update | Delete;

/** Changes that turn what stands into what should stand; each list is sorted by key. */
export interface Plan {
  readonly create: readonly Create[];
  readonly update: readonly Update[];
  readonly delete: readonly Delete[];
  readonly hold: readonly Hold[];
  /** Objects of ours that stand as they should. */
  readonly unchanged: number;
}

/** A brake that holds something back. */
export interface Brake {
  readonly registry: string;
  readonly kind: "services" | "endpoints";
  /** One sentence without a full stop, with the numbers. */
  readonly message: string;
}

export interface PolicedPlan extends Plan {
  readonly brakes: readonly Brake[];
  /** Brakes that end with this plan, as the registry has said the same for long enough. */
  readonly released: readonly Brake[];
}
