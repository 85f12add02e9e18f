import { MAX_WEIGHT } from "../../../src/istio/limits.ts";
import type { LeftOut } from "../../../src/model/service.ts";
import type { Registered } from "./candidate.ts";
import { type Configurators, configured } from "./configurators.ts";
import { dubboProtocol } from "./protocols.ts";
import { type DubboUrl, param } from "./url.ts";

/** Of a provider's parameters those that every restart changes, or that are long, and say nothing of how it is called. */
const UNUSED: ReadonlySet<string> = new Set(["methods", "timestamp", "pid", "interface", "qos.port", "revision"]);
const MOST_VALUE = 253;
/** What Dubbo gives a provider that states none (Constants.DEFAULT_WEIGHT). */
export const DEFAULT_WEIGHT = 100;

/** What the URL of a provider registers, with what operators have set beside it; `undefined` where it is no provider. */
export function providerOf(url: DubboUrl, interfaceName: string, configurators: Configurators): Registered | undefined {
  const { protocol, host, port } = url;
  if (protocol === "empty" || protocol === "consumer" || protocol === "route") return undefined;
  const seen = configured(url, interfaceName, configurators);
  const notes: string[] = [];
  const { name, istio } = dubboProtocol(protocol, param(url, "ssl-enabled") === "true", notes);
  const stated = param(seen, "weight");
  const weight = stated === undefined ? DEFAULT_WEIGHT : Number(stated);
  const isWeight = Number.isInteger(weight) && weight >= 0 && weight <= MAX_WEIGHT;
  return {
    id: `${protocol} ${port}`,
    host,
    ports: [{ name, number: port, protocol: istio }],
    meta: metaOf(url),
    weight: isWeight && weight > 0 ? weight : DEFAULT_WEIGHT,
    out: whyOut(url, seen, stated, isWeight ? weight : undefined),
    notes,
    atMs: Number(param(url, "timestamp") ?? 0) || 0,
  };
}

function whyOut(
  url: DubboUrl,
  seen: DubboUrl,
  stated: string | undefined,
  weight: number | undefined,
): Omit<LeftOut, "address"> | undefined {
  const by = (key: string) => (param(url, key) === param(seen, key) ? "" : ", by a configurator");
  if (param(seen, "disabled") === "true") return { kind: "disabled", reason: `disabled${by("disabled")}` };
  if (param(url, "enabled") === "false") return { kind: "disabled", reason: "not enabled" };
  if (weight === 0) return { kind: "weight", reason: `weight 0${by("weight")}` };
  if (weight === undefined)
    return { kind: "weight", reason: `weight ${stated?.slice(0, 20)} is invalid${by("weight")}` };
  return undefined;
}

/** What rules and labels can be about: the parameters, and the protocol. */
function metaOf({ params, protocol }: DubboUrl): Readonly<Record<string, string>> {
  const kept = Object.entries(params).filter(([key, value]) => !UNUSED.has(key) && value.length <= MOST_VALUE);
  return Object.fromEntries([...kept, ["protocol", protocol]]);
}
