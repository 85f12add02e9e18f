/** How a registry answers at the moment. */
export type Mode =
  | "well"
  | "refused" // no list at all
  | "slow" // it answers after a while
  | "partial" // some of the list is missing, and it says so
  | "some-failed" // the list, but some services cannot be read
  | "empties" // an empty list, as if it were true (a token without rights)
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
  ...(["refused", "slow", "partial", "some-failed", "empties", "halves", "drained"] as const).map(
    (mode) => `a registry answers: ${mode}` as const,
  ),
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
  "a claimant of no use is refused",
  "a claimant has nothing ready",
  "what was asked for is made",
  "a replica passes a question on",
  "Istio gives an address",
] as const;
export type Effect = (typeof EFFECTS)[number];
