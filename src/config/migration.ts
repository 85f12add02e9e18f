import { z } from "zod";
import type { AllowRule, ConfiguredClaim } from "../model/claim.ts";
import { registryOfKey } from "../model/service.ts";
import type { Problem } from "./document.ts";
import { serviceField } from "./exposures.ts";
import { dnsLabel, dnsName, durationMs, textField } from "./fields.ts";
import { mapping, unique } from "./shapes.ts";
import type { RegistryRead, SectionsRead } from "./written.ts";

const WEIGHTS = { outside: 0, split: 0, inside: 100, retired: 100 } as const;

const allowField = mapping({
  registry: z.string(),
  namespace: z.string().min(1).default("*"),
  service: z.string().min(1).default("*"),
  by: z.array(textField(namespaceGlob)).min(1).superRefine(unique),
}).transform((rule): AllowRule => rule);

const claimField = mapping({
  service: textField(serviceField),
  by: textField(claimantField),
  stage: z.enum(["outside", "split", "inside", "retired"]).default("outside"),
  weight: z.int().min(0).max(100).optional(),
  sni: z.array(textField(dnsName)).min(1).superRefine(unique).optional(),
  request: z.string().max(200).default(""),
})
  .superRefine(({ stage, weight }, context) => {
    if (stage !== "split" && weight !== undefined)
      context.addIssue({ code: "custom", path: ["weight"], message: `is valid with stage split only, not ${stage}` });
  })
  .transform(({ weight, sni, ...rest }): ConfiguredClaim => ({ ...rest, sni, weight: weight ?? WEIGHTS[rest.stage] }));

/** The section `migration`. */
export const migrationFields = mapping({
  allow: z.array(allowField).default([]),
  claims: z.array(claimField).default([]),
  stepBack: z.boolean().default(true),
  auto: z.boolean().default(false),
  retireAfter: textField(durationMs).prefault("30d"),
}).transform(({ retireAfter, ...rest }) => ({ ...rest, retireAfterMs: retireAfter }));

function namespaceGlob(text: string): string {
  if (!/^[-a-z0-9*?]{1,63}$/.test(text))
    throw new Error(`must be a namespace, or a pattern of namespaces with * and ?, not "${text}"`);
  return text;
}

function claimantField(text: string): ConfiguredClaim["by"] {
  const [namespace = "", name = "", ...more] = text.split("/");
  if (name === "" || more.length > 0) throw new Error(`must be <namespace>/<name> of a Service, not "${text}"`);
  return { namespace: dnsLabel(namespace), name: dnsLabel(name) };
}

/** What is wrong between claims and the registries they name, and between each other. */
export function migrationChecks(
  { migration, merge = [] }: SectionsRead,
  registries: readonly RegistryRead[],
): readonly Problem[] {
  const { allow = [], claims = [] } = migration ?? {};
  const claimants = claims.map(({ by }) => `${by.namespace}/${by.name}`);
  const fault = (registry: string): string | undefined => {
    if (!registries.some(({ name }) => name === registry)) return `no registry is named "${registry}"`;
    return merge.indexOf(registry) > 0
      ? `"${registry}" is merged: its services go by the name of "${merge[0]}"`
      : undefined;
  };
  const problem = (path: Problem["path"], message: string | undefined): readonly Problem[] =>
    message === undefined ? [] : [{ path: ["migration", ...path], message }];
  return [
    ...allow.flatMap(({ registry }, at) => problem(["allow", at, "registry"], fault(registry))),
    ...claims.flatMap(({ service }, at) => [
      ...problem(["claims", at, "service"], fault(registryOfKey(service))),
      ...problem(
        ["claims", at, "by"],
        claimants.indexOf(claimants[at] ?? "") < at ? "claims another service already" : undefined,
      ),
    ]),
  ];
}
