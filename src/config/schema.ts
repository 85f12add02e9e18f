import { validate } from "node-cron";
import { z } from "zod";
import { covers, overlaps, vipRangeFault } from "../istio/ranges.ts";
import { RESERVED } from "../istio/reserved.ts";
import { dnsFields } from "./dns.ts";
import { exposureFields } from "./exposures.ts";
import {
  aliasTemplate,
  cidr,
  dnsLabel,
  dnsName,
  durationMs,
  hostTemplate,
  legacyNameTemplate,
  textField,
} from "./fields.ts";
import { httpFields } from "./http.ts";
import { migrationFields } from "./migration.ts";
import { mapping, unique } from "./shapes.ts";
import type { WrittenRegistry, WrittenSections } from "./written.ts";

const label = textField(dnsLabel);
const duration = textField(durationMs);

const cronField = textField((text) => {
  if (!validate(text)) throw new Error(`must be a cron expression such as "*/30 * * * * *", not "${text}"`);
  if (text.trim().split(/\s+/).length !== 6)
    throw new Error(`must have six fields, seconds first, such as "*/30 * * * * *"`);
  return text;
});

const exportTo = z
  .array(textField((text) => (text === "*" || text === "." || text === "~" ? text : dnsLabel(text))))
  .min(1)
  .superRefine(unique)
  .superRefine((names, context) => {
    const lone = names.find((name) => name === "*" || name === "~"); // Istio's webhook refuses both beside others
    if (names.length > 1 && lone !== undefined)
      context.addIssue({ code: "custom", message: `must hold nothing else beside "${lone}"` });
  });

function waypointName(text: string): string {
  const [namespace = "", name = "", ...more] = text.split("/");
  if (text === "none") return text;
  if (name === "" || more.length > 0)
    throw new Error(`must be "none" or <namespace>/<name> of a waypoint, not "${text}"`);
  return `${dnsLabel(namespace)}/${dnsLabel(name)}`;
}

const vipRange = textField((text) => {
  const range = cidr(text);
  const prefix = Number(range.split("/")[1]);
  const [min, max] = range.includes(":") ? [64, 126] : [8, 30];
  if (prefix < min || prefix > max) throw new Error(`must have a prefix from /${min} to /${max}, not "${text}"`);
  const fault = vipRangeFault(range);
  if (fault !== undefined) throw new Error(fault);
  return range;
});

const vipRanges = z.array(vipRange).min(1).superRefine(disjoint);

/** Where endpoints may be. What can be at no time is refused here, as far as it is known without the rest of the file. */
const endpointRules = mapping({
  allow: z
    .array(textField(endpointRange))
    .min(1, "must have a range, or be left out: nothing would be allowed")
    .superRefine(unique)
    .exactOptional(),
  deny: z
    .array(textField((text) => domainOf(text) ?? cidr(text)))
    .superRefine(unique)
    .default([]),
});

/** Where endpoints that are host names may be; `undefined` for what looks like a range. */
function domainOf(text: string): string | undefined {
  return /[/:]|(^|\.)\d+$/.test(text) ? undefined : dnsName(text);
}

function endpointRange(text: string): string {
  const domain = domainOf(text);
  if (domain !== undefined) return domain;
  const range = cidr(text);
  const never = RESERVED.find(({ ranges, mayBeAllowed }) => !mayBeAllowed && ranges.some((one) => covers(one, range)));
  if (never !== undefined) throw new Error(`cannot allow ${range}: the address of an endpoint ${never.why}`);
  return range;
}

/** A network's name as istiod takes it, or such names by region; `*` is any other. */
const networkName = textField((text) => {
  if (!/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/.test(text))
    throw new Error(`must be the name of a network, which is a label's value in Kubernetes, not "${text}"`);
  return text;
});
const networkField = z.union([
  networkName.transform((network): Readonly<Record<string, string>> => ({ "*": network })),
  z.record(z.string().min(1), networkName),
]);

/** What every registry takes, whatever its kind. */
export const registryShape = {
  kind: z.string(),
  name: label,
  poll: cronField.prefault("*/30 * * * * *"),
  legacyNames: z.array(textField(legacyNameTemplate)).superRefine(unique).default([]),
  dots: z.boolean().default(false),
  singleLabels: z.boolean().default(false),
  endpoints: endpointRules.prefault({}),
  exportTo: exportTo.default(["*"]),
  xds: z.boolean().default(false),
  waypoint: textField(waypointName).optional(),
  demand: z.enum(["all", "reported"]).default("all"),
  demandTtl: duration.refine((ms) => ms >= 1000, "must be at least 1s").prefault("30d"),
  maxServices: z.int().min(1).optional(),
  share: z.int().min(1).max(1000).optional(),
  network: networkField.optional(),
  ranges: vipRanges.optional(),
};

/** A registry without the options that only its kind takes. */
export const registryFields = z
  .object(registryShape)
  .transform(({ demandTtl, ...rest }): WrittenRegistry => ({ ...rest, demandTtlMs: demandTtl }));

const inTarget = {
  namespace: label.prefault("mesh-services"),
  clusterDomain: textField(dnsName).prefault("cluster.local"),
};

/** The sections of a configuration file except `registries`; an absent section means its defaults. */
export const sectionFields = {
  owner: textField((text) => dnsLabel(text, 40)).prefault("x2istio"),
  hosts: mapping({
    template: textField(hostTemplate).prefault("{service}.{namespace}.{registry}.mesh.internal"),
  }).prefault({}),
  aliases: z
    .array(
      mapping({
        registry: z.string(),
        namespace: z.string().min(1).default("*"),
        service: z.string().min(1).default("*"),
        exclude: z.array(z.string().min(1)).min(1).superRefine(unique).exactOptional(),
        as: textField(aliasTemplate),
        in: label.exactOptional(),
      }).superRefine((rule, context) => {
        if (/[*?]/.test(rule.service) && !/\{service(?:\|dns)?\}/.test(rule.as))
          context.addIssue({
            code: "custom",
            path: ["as"],
            message: "must contain {service}, as the rule covers more than one service",
          });
      }),
    )
    .default([]),
  exposures: exposureFields.default([]),
  merge: z
    .array(z.string())
    .superRefine(unique)
    .refine(({ length }) => length !== 1, "must name at least two registries")
    .default([]),
  vips: mapping({
    mode: z.enum(["ledger", "istio"]).default("ledger"),
    ranges: vipRanges.default(["240.241.0.0/16"]),
    families: z
      .array(z.enum(["IPv4", "IPv6"]).transform((family) => (family === "IPv4" ? "v4" : "v6")))
      .min(1)
      .superRefine(unique)
      .exactOptional(),
    quarantine: duration.prefault("1h"),
    ledgerNamespace: label.exactOptional(),
  })
    .transform(({ quarantine, ...rest }) => ({ ...rest, quarantineMs: quarantine }))
    .prefault({}),
  policy: mapping({
    mode: z.enum(["sync", "upsert-only", "dry-run"]).default("sync"),
    maxDeletePercent: z.number().min(0).max(100).default(20),
    minDeletes: z.int().min(0).default(2),
    maxShrinkPercent: z.number().min(0).max(100).default(35),
    minShrinks: z.int().min(1).default(4),
    keepEmpty: duration.prefault("1h"),
    releaseAfter: duration.optional(),
  })
    .transform(({ keepEmpty, releaseAfter, ...rest }) => ({
      ...rest,
      keepEmptyMs: keepEmpty,
      ...(releaseAfter === undefined ? {} : { releaseAfterMs: releaseAfter }),
    }))
    .prefault({}),
  migration: migrationFields.prefault({}),
  target: z
    .discriminatedUnion("kind", [
      mapping({ kind: z.literal("directory"), path: z.string().min(1).default("out"), ...inTarget }),
      mapping({ kind: z.literal("kubernetes"), context: z.string().min(1).exactOptional(), ...inTarget }),
    ])
    .prefault({ kind: "directory" }),
  dns: dnsFields.prefault({}),
  http: httpFields.prefault({}),
} satisfies { readonly [Name in keyof WrittenSections]: z.ZodType<WrittenSections[Name]> };

function disjoint(ranges: readonly string[], context: z.RefinementCtx<string[]>): void {
  ranges.forEach((range, index) => {
    const other = ranges.slice(0, index).find((earlier) => overlaps(earlier, range));
    if (other !== undefined) context.addIssue({ code: "custom", path: [index], message: `overlaps ${other}` });
  });
}
