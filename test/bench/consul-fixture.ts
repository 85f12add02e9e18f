import type { Consul } from "../servers/consul.ts";

/** Operations that Consul takes in one transaction. */
const OPERATIONS = 64;
/** Instances on one node: a machine that runs several services. */
const PER_NODE = 50;

/** One instance of the fixture, by which the benchmark changes it. */
export interface Place {
  readonly service: string;
  readonly id: string;
  readonly node: string;
  readonly address: string;
}

/** All instances of service `index`, in 198.18.0.0/15, which is set aside for benchmarks (RFC 2544). */
export function placesOf(index: number, endpoints: number): Place[] {
  const service = `orders-${String(index).padStart(5, "0")}`;
  return Array.from({ length: endpoints }, (_, at) => {
    const number = index * endpoints + at;
    return {
      service,
      id: `${service}-${at}`,
      node: `node-${Math.floor(number / PER_NODE)}`,
      address: `198.${18 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`,
    };
  });
}

/** Register `services` with `endpoints` passing instances each, in transactions. */
export async function fillConsul(
  consul: Pick<Consul, "request">,
  services: number,
  endpoints: number,
  from = 0,
): Promise<void> {
  const places = Array.from({ length: services - from }, (_, at) => placesOf(from + at, endpoints)).flat();
  const nodes = [...new Set(places.map(({ node }) => node))];
  await inTransactions(
    consul,
    nodes.map((node) => ({ Node: { Verb: "set", Node: { Node: node, Address: "198.19.255.254" } } })),
  );
  await inTransactions(
    consul,
    places.flatMap((place) => [
      { Service: { Verb: "set", Node: place.node, Service: serviceOf(place, 100) } },
      { Check: { Verb: "set", Check: checkOf(place, "passing") } },
    ]),
  );
}

async function inTransactions(consul: Pick<Consul, "request">, operations: readonly object[]): Promise<void> {
  for (let at = 0; at < operations.length; at += OPERATIONS)
    await put(consul, "/v1/txn", operations.slice(at, at + OPERATIONS));
}

/** Kinds of change that are measured, in turn. */
export const KINDS = ["critical", "weight", "new instance"] as const;
export type Kind = (typeof KINDS)[number];

/** Change an instance as `kind` says; the change the other way round with `back`. */
export async function change(consul: Pick<Consul, "request">, place: Place, kind: Kind, back: boolean): Promise<void> {
  const register = "/v1/catalog/register";
  const at = { Node: place.node, SkipNodeUpdate: true };
  if (kind === "critical")
    return put(consul, register, { ...at, Check: checkOf(place, back ? "passing" : "critical") });
  if (kind === "weight") return put(consul, register, { ...at, Service: serviceOf(place, back ? 100 : 50) });
  const more = { ...place, id: `${place.id}-more`, address: place.address.replace(/^198\.1[89]/, "198.51") };
  if (back) return put(consul, "/v1/catalog/deregister", { Node: place.node, ServiceID: more.id });
  await put(consul, register, { ...at, Service: serviceOf(more, 100), Check: checkOf(more, "passing") });
}

/** Take all of `places` away, with what {@link change} may have put beside them. */
export async function removeFromConsul(consul: Pick<Consul, "request">, places: readonly Place[]): Promise<void> {
  for (const { node, id } of places.flatMap((place) => [place, { ...place, id: `${place.id}-more` }]))
    await put(consul, "/v1/catalog/deregister", { Node: node, ServiceID: id });
}

function serviceOf({ service, id, address }: Place, weight: number): object {
  return {
    ID: id,
    Service: service,
    Address: address,
    Port: 8080,
    Tags: ["team=checkout"],
    Meta: { version: id.endsWith("1") ? "v2" : "v1", protocol: "http" },
    Weights: { Passing: weight, Warning: 1 },
  };
}

function checkOf({ node, id }: Place, status: string): object {
  return { Node: node, CheckID: `service:${id}`, Name: `check of ${id}`, Status: status, ServiceID: id };
}

async function put(consul: Pick<Consul, "request">, path: string, body: unknown): Promise<void> {
  const { status, body: answer } = await consul.request("PUT", path, body);
  if (status !== 200) throw new Error(`Cannot PUT ${path}: ${status} ${JSON.stringify(answer).slice(0, 500)}`);
}
