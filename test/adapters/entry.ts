import { addressText } from "../../src/istio/address.ts";
import { type Service, serviceKey } from "../../src/model/service.ts";
import { decide } from "../../src/plan/decide.ts";
import { NOW_MS, readings, standing } from "../plan/build.ts";
import { config } from "../plan/memory.ts";

/** The service's entry in words: ports, then endpoints, then what is left out; or why there is none. */
export function entryOf(service: Service | undefined): string {
  if (service === undefined) return "not listed";
  const { desired, plan } = decide(config([service.registry]), {
    readings: readings({ [service.registry]: [service] }),
    standing: standing(),
    nowMs: NOW_MS,
    allowDeletes: new Set(),
  });
  const out = service.leftOut.map(({ address, kind }) => `${kind} ${address}`);
  const tail = out.length === 0 ? "" : ` | out: ${out.join(", ")}`;
  const [entry] = desired.objects.get(serviceKey(service.registry, service.namespace, service.name)) ?? [];
  if (entry?.manifest.kind !== "ServiceEntry")
    return `${plan.hold.map(({ message }) => `held: ${message.split(/[,:]/)[0]}`).join() || "nothing"}${tail}`;
  const { ports, endpoints = [], resolution } = entry.manifest.spec;
  const shownPorts = ports.map(
    ({ name, number, protocol, targetPort }) =>
      `${name} ${number} ${protocol}${targetPort === undefined ? "" : `→${targetPort}`}`,
  );
  const shown = endpoints.map(({ address, ports: own = {}, weight, labels }) =>
    [
      addressText(address),
      ...Object.entries(own).map(([name, number]) => `${name}:${number}`),
      ...(weight === undefined ? [] : [`w${weight}`]),
      ...Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`),
    ].join(" "),
  );
  return `${shownPorts.join(", ")} | ${shown.join(", ")}${resolution === "DNS" ? " | DNS" : ""}${tail}`;
}
