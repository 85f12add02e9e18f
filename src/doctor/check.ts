import type { ClusterFacts, Fact } from "../model/cluster-facts.ts";
import type { CheckName, Finding } from "./finding.ts";
import type { InstallationFacts } from "./installation.ts";
import type { DoctorSettings } from "./settings.ts";

/** Judges one kind of facts. Pure. */
export type Check = (
  facts: ClusterFacts,
  settings: DoctorSettings,
  installation: Fact<InstallationFacts>,
) => readonly Finding[];

/** Judge what is known; if a part of it is not, that is the finding. */
export function whenKnown<Values extends Readonly<Record<string, unknown>>>(
  check: CheckName,
  facts: { readonly [Name in keyof Values]: Fact<Values[Name]> },
  judge: (values: Values) => readonly Finding[],
): readonly Finding[] {
  const values: Record<string, unknown> = {};
  for (const [name, fact] of Object.entries(facts) as [string, Fact<unknown>][]) {
    if (!fact.known) return [{ check, state: "unchecked", message: `could not be checked: ${fact.why}` }];
    values[name] = fact.value;
  }
  return judge(values as Values);
}

/** The value of a fact, or what stands for one that is not known. */
export function valueOr<Value>(fact: Fact<Value>, otherwise: Value): Value {
  return fact.known ? fact.value : otherwise;
}
