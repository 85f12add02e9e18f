import type { BlockerKind } from "../model/claim.ts";
import { nameOf } from "../plan/stages/preconditions.ts";
import { type Move, unclaimed } from "./moves.ts";

/** One thing that a move needs. */
export interface Precondition {
  readonly kind: BlockerKind | "claim";
  readonly met: boolean;
  /** A sentence without a full stop; of one that is not met it says what to do. */
  readonly message: string;
}

/** What is said of each precondition that is met. */
const MET: Readonly<Partial<Record<BlockerKind, string>>> = {
  annotation: "its annotations can be read",
  allow: "migration.allow lets its namespace claim this service",
  second: "no other Service claims it",
  registry: "its registry has been read and has it",
  service: "it has an address of its own and accepts calls",
  ports: "it has every port of the service, by number and protocol",
  endpoints: "it has endpoints that are ready",
  route: "no VirtualService or HTTPRoute of someone else's routes the old host",
  export: "every caller sees its host",
  sidecar: "no Sidecar hides its host from callers",
  strict: "it accepts calls from outside the mesh, or need not",
  ambient: "ambient callers have a waypoint, or there are none",
  sni: "server names of TLS callers are listed, or there is no TLS port",
};

/** Everything that a move needs, met or not, in the order in which it is best met. */
export function preconditionsOf(move: Move): readonly Precondition[] {
  const { claim, claimants, blockers } = move;
  if (claimants.length === 0) return [{ kind: "claim", met: false, message: unclaimed(move) }];
  const claims: Precondition = {
    kind: "claim",
    met: true,
    message: `${claimants.map(nameOf).join(" and ")} ${claimants.length === 1 ? "says" : "say"} that it replaces ${move.service}`,
  };
  const missing = (kind: string) => blockers.filter((blocker) => blocker.kind === kind);
  // Without a claim that counts nothing is known of the Service.
  const known = claim === undefined ? [] : (Object.entries(MET) as [BlockerKind, string][]);
  const listed = known.flatMap(([kind, message]): readonly Precondition[] => {
    const found = missing(kind);
    return found.length === 0 ? [{ kind, met: true, message }] : found.map((one) => ({ ...one, met: false }));
  });
  const others = blockers.filter(({ kind }) => !known.some(([one]) => one === kind));
  return [claims, ...others.map((one) => ({ ...one, met: false })), ...listed];
}
