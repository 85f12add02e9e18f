import { z } from "zod";
import type { ExposureRule } from "../model/exposure.ts";
import { parseServiceKey, registryOfKey } from "../model/service.ts";
import type { Problem } from "./document.ts";
import { dnsLabel, textField } from "./fields.ts";
import { mapping, unique } from "./shapes.ts";
import type { RegistryRead, SectionsRead } from "./written.ts";

const port = z.int().min(1).max(65_535);

/** The section `exposures`. */
export const exposureFields = z.array(
  mapping({
    name: textField(dnsLabel),
    service: textField(serviceField),
    port: port.exactOptional(),
    api: z.enum(["istio", "gateway"]).default("istio"),
    gateway: textField(gatewayField),
    listen: port.exactOptional(),
    hosts: z.array(textField(routedHost)).min(1).superRefine(unique).optional(),
    path: textField(routedPath).optional(),
  })
    .superRefine(({ hosts, listen, path }, context) => {
      const issue = (at: string[], message: string) => context.addIssue({ code: "custom", path: at, message });
      if (hosts === undefined && path !== undefined) issue(["path"], "is for HTTP, which needs hosts");
      else if (hosts === undefined && listen === undefined) issue([], "must have hosts, for HTTP, or listen, for TCP");
    })
    .transform(({ hosts = [], path = "/", ...rest }): ExposureRule => ({ ...rest, hosts, path })),
);

/** A service's key. @throws When it is none. */
export function serviceField(text: string): string {
  if (parseServiceKey(text) === undefined)
    throw new Error(`must be <registry>/<namespace>/<service>, such as vms/shop/orders, not "${text}"`);
  return text;
}

function gatewayField(text: string): ExposureRule["gateway"] {
  const [namespace = "", name = "", ...more] = text.split("/");
  if (name === "" || more.length > 0) throw new Error(`must be <namespace>/<name> of a Gateway, not "${text}"`);
  return { namespace: dnsLabel(namespace), name: dnsLabel(name) };
}

/** As Istio and the Gateway API take it: DNS labels of which only the first may be `*`, and the last not all digits. */
function routedHost(text: string): string {
  const name = text.toLowerCase();
  const labels = name.replace(/^\*\./, "").split(".");
  const isName = labels.every((label) => /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/.test(label));
  if (!isName || name.length > 253 || /^\d+$/.test(labels.at(-1) ?? ""))
    throw new Error(`must be a host such as shop.example.com or *.example.com, not "${text}"`);
  return name;
}

/** @see kubernetes-sigs/gateway-api apis/v1/httproute_types.go: what its CRD takes as a PathPrefix */
function routedPath(text: string): string {
  if (text === "/") return text;
  const isPath = /^(?:\/(?:[-A-Za-z0-9._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+)+$/.test(text);
  if (!isPath || text.length > 1000 || /%2f/i.test(text) || /\/\.{1,2}(?:\/|$)/.test(text))
    throw new Error(`must be a path such as /orders, without a slash at its end, not "${text}"`);
  return text;
}

/** What is wrong between exposures and the registries they name, and between each other. */
export function exposureChecks(
  { exposures = [], merge = [], target }: SectionsRead,
  registries: readonly RegistryRead[],
): Problem[] {
  const names = new Map<string, string>();
  const ways = new Map<string, string>();
  return exposures.flatMap((rule, index) => {
    const problem = (key: string, message: string): Problem => ({ path: ["exposures", index, key], message });
    const registry = registryOfKey(rule.service);
    const source = registries.find(({ name }) => name === registry);
    const problems: Problem[] = [];
    if (source === undefined) problems.push(problem("service", `no registry is named "${registry}"`));
    if (merge.indexOf(registry) > 0)
      problems.push(problem("service", `"${registry}" is merged: its services go by the name of "${merge[0]}"`));
    const { namespace } = rule.gateway;
    const exportTo = source?.fields?.exportTo.map((name) => (name === "." ? target?.namespace : name)) ?? ["*"];
    if (!exportTo.includes("*") && !exportTo.includes(namespace))
      problems.push(problem("gateway", `does not see the service: add "${namespace}" to exportTo of "${registry}"`));
    if (names.has(rule.name)) problems.push(problem("name", "is the name of another exposure"));
    names.set(rule.name, rule.name);
    const taken = waysOf(rule).find((way) => ways.has(way));
    if (taken !== undefined)
      problems.push(
        problem(rule.hosts.length === 0 ? "listen" : "hosts", `leads to exposure "${ways.get(taken)}" already`),
      );
    for (const way of waysOf(rule)) ways.set(way, rule.name);
    return problems;
  });
}

/** What of its gateway an exposure takes for itself. */
function waysOf({ api, gateway, hosts, path, listen = 0 }: ExposureRule): readonly string[] {
  const at = `${api} ${gateway.namespace}/${gateway.name} ${listen}`;
  return hosts.length === 0 ? [at] : hosts.map((host) => `${at} ${host}${path}`);
}
