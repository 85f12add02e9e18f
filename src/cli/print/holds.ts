import type { Hold } from "../../model/plan.ts";
import type { Decision } from "../../plan/decision.ts";
import { count } from "./text.ts";

/** What is held, and why: cells of the plan's table. */
export function holdRows(decision: Decision): readonly (readonly string[])[] {
  return [
    ...decision.plan.hold
      .filter((hold) => !isOfBrokenList(hold, decision))
      .map((hold) => [hostOf(hold, decision), holdText(hold)]),
    ...brokenLists(decision),
  ];
}

/** Whether a service is held for nothing else than what the registry's own line says: its list is known only in part. */
function isOfBrokenList({ reason, registry, message }: Hold, { catalog }: Decision): boolean {
  const { state, why } = catalog.authorities.get(registry) ?? { state: undefined };
  return reason === "unread" && state === "incomplete" && why !== undefined && message.includes(why);
}

/** One line for all of them: their registry said why once. */
function brokenLists(decision: Decision): readonly (readonly string[])[] {
  const held = decision.plan.hold.filter((hold) => isOfBrokenList(hold, decision));
  return [...Map.groupBy(held, ({ registry }) => registry)].map(([registry, { length }]) => [
    `${count(length, "service")} of registry ${registry}`,
    `held: ${length === 1 ? "it stands and is" : "they stand and are"} not listed, and the list is known only in part`,
  ]);
}

/** A hold's sentence; a held service says so. */
function holdText({ message, reason }: Hold): string {
  return / (held|withheld|left alone)\b/.test(message) || reason === "orphan" ? message : `held: ${message}`;
}

function hostOf(hold: Hold, { standing, naming }: Decision): string {
  const [host = hold.subject] = standing.premade.get(hold.subject)?.manifest.spec.hosts ?? [];
  if (hold.service === undefined || host !== hold.subject) return host;
  const filled = standing.premadeOf.get(hold.service) ?? [];
  if (filled.some(({ manifest }) => manifest.spec.hosts[0] === hold.subject)) return hold.subject;
  return (
    naming.services.get(hold.service)?.host ??
    standing.entries.get(hold.service)?.manifest.spec.hosts[0] ??
    hold.service
  );
}
