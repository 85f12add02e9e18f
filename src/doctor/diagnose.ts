import type { ClusterFacts, Fact } from "../model/cluster-facts.ts";
import { attempt } from "./attempt.ts";
import type { Check } from "./check.ts";
import { ambient } from "./checks/ambient.ts";
import { capture } from "./checks/capture.ts";
import { definitions } from "./checks/definitions.ts";
import { exported } from "./checks/exports.ts";
import { istiod } from "./checks/istiod.ts";
import { names } from "./checks/names.ts";
import { namespaces } from "./checks/namespaces.ts";
import { pods } from "./checks/pods.ts";
import { rights } from "./checks/rights.ts";
import { scope } from "./checks/scope.ts";
import { tls } from "./checks/tls.ts";
import { vips } from "./checks/vips.ts";
import { dns } from "./dns/dns.ts";
import { CHECKS, type CheckName, type Finding } from "./finding.ts";
import type { InstallationFacts } from "./installation.ts";
import type { DoctorSettings } from "./settings.ts";

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
  installation: Fact<InstallationFacts>,
  skip: readonly CheckName[] = [],
): readonly Finding[] {
  const findings = CHECKS.filter((name) => !skip.includes(name)).flatMap((name) =>
    attempt(name, () => BY_NAME[name](facts, settings, installation)),
  );
  // Parts of one check may want the same that is not known.
  return findings.filter(
    ({ check, message }, at) => findings.findIndex((one) => one.check === check && one.message === message) === at,
  );
}
