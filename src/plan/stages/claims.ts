import { type AllowRule, type Claim, type MigrationRules, REPLACES_ANNOTATION } from "../../model/claim.ts";
import { objectKey } from "../../model/objects.ts";
import type { Hold } from "../../model/plan.ts";
import { parseServiceKey, registryOfKey, type ServiceKey } from "../../model/service.ts";
import { globMatches } from "../glob.ts";
import { nameOf } from "./preconditions.ts";

/** Claims that count, by the service that they are for, and why others do not. */
export interface CountedClaims {
  readonly byService: ReadonlyMap<ServiceKey, readonly Claim[]>;
  readonly holds: readonly Hold[];
}

/** The claims that the operator lets count: anyone could draw another's calls otherwise. */
export function countClaims(
  claims: Iterable<Claim>,
  { allow }: Pick<MigrationRules, "allow">,
  registries: ReadonlySet<string>,
): CountedClaims {
  const byService = new Map<ServiceKey, Claim[]>();
  const holds: Hold[] = [];
  for (const claim of [...claims].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))) {
    const { service } = claim;
    if (service === undefined) {
      holds.push(claimHold(claim, registries, `Service ${nameOf(claim)}: ${claim.problems.join("; ")}`));
    } else if (!mayClaim(claim, service, allow)) {
      const message = `Service ${nameOf(claim)} may not replace ${service}: its annotation ${REPLACES_ANNOTATION} counts only where migration.allow lets namespace ${claim.namespace} claim it`;
      holds.push(claimHold(claim, registries, message));
    } else {
      const others = byService.get(service);
      if (others === undefined) byService.set(service, [claim]);
      else others.push(claim);
    }
  }
  return { byService, holds };
}

/** Whether a claim counts. The configuration's own claims are the operator's word already. */
export function mayClaim(
  { source, namespace }: Pick<Claim, "source" | "namespace">,
  service: ServiceKey,
  allow: readonly AllowRule[],
): boolean {
  if (source === "configuration") return true;
  const parts = parseServiceKey(service);
  if (parts === undefined) return false;
  return allow.some(
    (rule) =>
      rule.registry === parts.registry &&
      globMatches(rule.namespace, parts.namespace) &&
      globMatches(rule.service, parts.name) &&
      rule.by.some((glob) => globMatches(glob, namespace)),
  );
}

/** What is held of a claim. Its service's registry counts only if there is such a one: anyone can write the annotation. */
export function claimHold(
  { namespace, name, service }: Pick<Claim, "namespace" | "name" | "service">,
  registries: ReadonlySet<string>,
  message: string,
): Hold {
  const key = objectKey("Service", namespace, name);
  const said = service === undefined ? "" : registryOfKey(service);
  const registry = registries.has(said) ? said : "";
  return { reason: "stage", subject: key, service, registry, message, regarding: key };
}
