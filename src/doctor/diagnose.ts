import type { ClusterFacts, Fact } from "../model/cluster-facts.ts";
import { ambient } from "./ambient.ts";
import { attempt } from "./attempt.ts";
import { capture } from "./capture.ts";
import { definitions } from "./definitions.ts";
import { dns } from "./dns.ts";
import { exported } from "./exports.ts";
import { CHECKS, type Check, type CheckName, type DoctorSettings, type EstateFacts, type Finding } from "./finding.ts";
import { istiod } from "./istiod.ts";
import { names } from "./names.ts";
import { namespaces } from "./namespaces.ts";
import { pods } from "./pods.ts";
import { rights } from "./rights.ts";
import { scope } from "./scope.ts";
import { tls } from "./tls.ts";
import { vips } from "./vips.ts";

const BY_NAME: Readonly<Record<CheckName, Check>> = {
  definitions,
  istiod,
  namespaces,
  rights,
  vips,
  capture,
  pods,
  ambient,
  scope,
  exports: exported,
  tls,
  names,
  dns,
};

/** Judge everything but what is to be skipped, in the order of {@link CHECKS}. One check that fails is its own finding. */
export function diagnose(
  facts: ClusterFacts,
  settings: DoctorSettings,
  estate: Fact<EstateFacts>,
  skip: readonly CheckName[] = [],
): readonly Finding[] {
  const findings = CHECKS.filter((name) => !skip.includes(name)).flatMap((name) =>
    attempt(name, () => BY_NAME[name](facts, settings, estate)),
  );
  // Parts of one check may want the same that is not known.
  return findings.filter(
    ({ check, message }, at) => findings.findIndex((one) => one.check === check && one.message === message) === at,
  );
}
