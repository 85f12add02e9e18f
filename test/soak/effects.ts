/** How a registry answers at the moment. */
export type Mode =
  | "well"
  | "refused" // no list at all
  | "slow" // it answers after a while
  | "partial" // some of the list is missing, and it says so
  | "some-failed" // the list, but some services cannot be read
  | "empties" // an empty list, as if it were true (a token without rights)
  | "denied" // a list without some services, as if it were true; who asks for one of them by name is refused (a token lost a right)
  | "halves" // most of the list is missing, as if it were true (a restored backup)
  | "drained"; // all services, most without endpoints, as if it were true (all checks fail at once)

export const MODES: readonly Mode[] = [
  "well",
  "refused",
  "slow",
  "partial",
  "some-failed",
  "some-failed",
  "empties",
  "denied",
  "halves",
  "drained",
];
/** What can happen to a request between a process and the API server. */
export const FAULTS = ["busy", "error", "unavailable", "lost", "unanswered", "late"] as const;
export type RequestFault = (typeof FAULTS)[number];

/** What steps come to. One that changes nothing, or that nobody notices, is not counted. */
export const EFFECTS = [
  "a service changes",
  "a service is removed",
  "a service is emptied",
  ...(["refused", "slow", "partial", "some-failed", "empties", "denied", "halves", "drained"] as const).map(
    (mode) => `a registry answers: ${mode}` as const,
  ),
  "a service loses half of its endpoints",
  "a service goes by another name",
  "a service is written in other letters",
  "a legacy name moves to another service",
  "two services swap their legacy names",
  "two services claim one legacy name",
  "a legacy name has a new holder",
  "a hint is lost",
  ...FAULTS.map((fault) => `a request meets: ${fault}` as const),
  "news come late",
  "news are lost on a silent watch",
  "a watch breaks",
  "a watch is told that its version is gone",
  "someone creates an object",
  "someone deletes an object",
  "someone changes an object of ours",
  "someone deletes an object of ours",
  "someone asks for an entry to be filled",
  "someone's finalizer keeps an object of ours",
  "a tenant speaks for a host of ours",
  "a tenant takes a host or an address",
  "a tenant restricts a namespace",
  "a tenant's object goes",
  "someone takes an address",
  "someone gives an address back",
  "a write is refused by admission",
  "a write is refused for want of rights",
  "a read is refused for want of rights",
  "the leader is killed",
  "the leader is restarted",
  "the leader is frozen",
  "another process is killed, restarted or frozen",
  "a wall clock is wrong",
  "a brake is released",
  "leadership is lost between two writes",
  "calls are split with a claimant",
  "calls are led inside",
  "calls are led outside again",
  "a service is retired",
  "a claimant of no use is refused",
  "a claimant has nothing ready",
  "what was asked for is made",
  "a replica passes a question on",
  "Istio gives an address",
] as const;
export type Effect = (typeof EFFECTS)[number];
