import { addressAndPort } from "../../src/istio/address.ts";
import type { Endpoint, LeftOut, Service, ServicePort } from "../../src/model/service.ts";
import type { Target } from "./probe.ts";
import type { CheckForm } from "./schema.ts";
import { portOf, shownAddress } from "./service.ts";

/** What is to be probed for a service, one target per endpoint, in their order. */
export function targetsOf(service: Service, check: CheckForm): readonly Target[] {
  const key = `${service.registry}/${service.namespace}/${service.name}`;
  const port = checkedPort(service, check);
  return service.endpoints.map((endpoint) => {
    const number = portOf(endpoint, port);
    const id = `${key} ${addressAndPort(endpoint.address, number)} ${JSON.stringify(check)}`;
    return { id, service: key, host: endpoint.address, port: number, check };
  });
}

/**
 * The service without endpoints that are down, each left out with its reason; the same object when none is.
 *
 * When all are down, `failOpen` keeps all of them in, as load balancers do: a check that is wrong must not end a service.
 */
export function withoutDown(service: Service, reasons: readonly (string | undefined)[], failOpen: boolean): Service {
  const down = service.endpoints.flatMap((endpoint, index): Down[] => {
    const reason = reasons[index];
    if (reason === undefined) return [];
    return [{ endpoint, out: { address: shownAddress(endpoint, service.ports), kind: "health" as const, reason } }];
  });
  if (down.length === 0) return service;
  if (down.length < service.endpoints.length || !failOpen) return emptied(service, down);
  const why = down.map(({ out }) => `${out.address} ${out.reason}`).join("; ");
  return { ...service, notes: [...service.notes, `no endpoint passes its check, so all are kept (failOpen): ${why}`] };
}

interface Down {
  readonly endpoint: Endpoint;
  readonly out: LeftOut;
}

function emptied(service: Service, down: readonly Down[]): Service {
  const gone = new Set(down.map(({ endpoint }) => endpoint));
  const endpoints = service.endpoints.filter((endpoint) => !gone.has(endpoint));
  const notes =
    endpoints.length > 0
      ? service.notes
      : [...service.notes, "no endpoint passes its check and none is kept (failOpen: false)"];
  return { ...service, endpoints, leftOut: [...service.leftOut, ...down.map(({ out }) => out)], notes };
}

function checkedPort(service: Service, { tcp, http }: CheckForm): ServicePort {
  const name = http?.port ?? tcp;
  const port = service.ports.find((one) => one.name === name);
  if (port === undefined) throw new Error(`Cannot check ${service.name} as it must have a port ${name}`);
  return port;
}
