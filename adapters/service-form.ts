import { z } from "zod";
import { droppedLabel } from "../src/istio/labels.ts";
import { isPrintable, MAX_ENDPOINTS, MAX_PORTS, MAX_WEIGHT, protocolOf } from "../src/istio/limits.ts";
import type { Endpoint, LeftOut, LeftOutKind, Service, ServiceAlias, ServicePort } from "../src/model/service.ts";
import { checkedText, endpointAddress, namePart, portName, serviceName } from "./fields.ts";

/** What an adapter that is not part of this project may say. */
export interface Trust {
  readonly registry: string;
  /** Legacy names: only where the operator wrote them. */
  readonly legacyNames: boolean;
}

const MAX_OVERRIDES = 128;
const LEFT_OUT_KINDS: Readonly<Record<LeftOutKind, true>> = {
  address: true,
  disabled: true,
  duplicate: true,
  health: true,
  filter: true,
  kubernetes: true,
  mesh: true,
  name: true,
  port: true,
  weight: true,
};

const printable = (most: number) =>
  checkedText(
    `must be a printable text of at most ${most} characters`,
    (value) => value.length <= most && isPrintable(value),
  );
const whole = (least: number, most: number) =>
  z
    .int({ error: `must be a whole number from ${least} to ${most}` })
    .min(least, `must be ${least}–${most}`)
    .max(most, `must be ${least}–${most}`);
const list = <Item extends z.ZodType>(item: Item, most: number) =>
  z.array(item, { error: "must be a list" }).max(most, `must have at most ${most} entries`);
const record = <Value extends z.ZodType>(value: Value, most: number) =>
  z
    .record(z.string(), value, { error: "must be an object" })
    .refine((fields) => Object.keys(fields).length <= most, `must have at most ${most} entries`);
const object = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: ({ code }) =>
      code === "unrecognized_keys"
        ? `is not known here; known are ${Object.keys(shape).join(", ")}`
        : "must be an object",
  });

/** A schema for every field there is, those that may be absent among them: what is not listed would be refused. */
type Fields<Model> = Readonly<Record<keyof Model, z.ZodType>>;

const FLAG = z.literal(true, { error: "must be true or absent" });
const portNumber = whole(1, 65535);
const protocol = checkedText(
  "must be one that Istio knows, in upper case, or metaprotocol-<name>",
  (value) => protocolOf(value) === value,
);

const port = object({
  name: portName,
  number: portNumber,
  protocol,
  targetPort: portNumber.exactOptional(),
  observed: FLAG.exactOptional(),
} satisfies Fields<ServicePort>);

const labels = z
  .record(z.string(), z.string({ error: "must be a text" }), { error: "must be an object" })
  .superRefine((given, context) => {
    for (const [key, value] of Object.entries(given)) {
      const why = droppedLabel(key, value);
      if (why !== undefined) context.addIssue({ code: "custom", path: [key], message: `cannot be a label: ${why}` });
    }
  });

const endpoint = object({
  address: endpointAddress,
  ports: record(portNumber, MAX_OVERRIDES).exactOptional(),
  weight: whole(1, MAX_WEIGHT).exactOptional(),
  labels: labels.exactOptional(),
  region: namePart.exactOptional(),
  zone: namePart.exactOptional(),
  subzone: namePart.exactOptional(),
  network: namePart.exactOptional(),
} satisfies Fields<Endpoint>);

const kindOf = <Kind extends string>(kinds: Readonly<Record<Kind, true>>) => {
  const known = Object.keys(kinds) as [Kind, ...Kind[]];
  return z.enum(known, { error: `must be one of ${known.join(", ")}` });
};

const leftOut = object({
  address: printable(300),
  kind: kindOf(LEFT_OUT_KINDS),
  reason: printable(1000),
} satisfies Fields<LeftOut>);

const alias = object({
  namespace: namePart,
  name: serviceName,
  asked: FLAG.exactOptional(),
} satisfies Fields<ServiceAlias>);

const NO_NAMES = z
  .array(z.string(), { error: "must be a list" })
  .max(0, "must be empty, unless the registry option ownNames is true");

/** The form of a service from an adapter that is not part of this project. */
export function serviceSchema({ registry, legacyNames }: Trust) {
  return object({
    registry: z.literal(registry, { error: `must be "${registry}"` }),
    namespace: namePart,
    name: serviceName,
    ports: list(port, MAX_PORTS),
    endpoints: list(endpoint, MAX_ENDPOINTS),
    leftOut: list(leftOut, MAX_ENDPOINTS),
    metadata: record(z.string({ error: "must be a text" }).max(4096, "must have at most 4096 characters"), 1024),
    legacyNames: legacyNames ? list(printable(253), 255) : NO_NAMES,
    aliases: list(alias, 100).exactOptional(),
    aliasesOnly: FLAG.exactOptional(),
    source: printable(1000),
    notes: list(printable(1000), 100),
    declaredPorts: list(port, MAX_PORTS).exactOptional(),
    undecided: printable(1000).exactOptional(),
    podsOnly: FLAG.exactOptional(),
  } satisfies Fields<Service>).superRefine((service, context) => {
    for (const { path, message } of brokenRules(service)) context.addIssue({ code: "custom", path, message });
  });
}

interface Rule {
  readonly path: PropertyKey[];
  readonly message: string;
}

type Ports = readonly { readonly name: string; readonly number: number }[];
type Endpoints = readonly { readonly address: string; readonly ports?: Readonly<Record<string, number>> }[];

/** What must hold between the fields of a service that are right in themselves. */
function brokenRules({ ports, endpoints }: { readonly ports: Ports; readonly endpoints: Endpoints }): Rule[] {
  const rules = [...repeated(ports, "name"), ...repeated(ports, "number"), ...strangePorts(endpoints, ports)];
  if (ports.length === 0 && endpoints.length > 0)
    rules.push({ path: ["ports"], message: "must have at least one entry" });
  const seen = new Map<string, number>();
  for (const [index, { address, ports: own = {} }] of endpoints.entries()) {
    const same = JSON.stringify([address, Object.entries(own).sort()]);
    const first = seen.get(same);
    if (first === undefined) seen.set(same, index);
    else rules.push({ path: ["endpoints", index], message: `is the same as endpoints[${first}]` });
  }
  return rules;
}

function repeated(ports: Ports, field: "name" | "number"): Rule[] {
  const values = ports.map((one) => one[field]);
  return values.flatMap((value, index) =>
    values.indexOf(value) === index
      ? []
      : [{ path: ["ports", index, field], message: `must be unique in the service, is ${value} twice` }],
  );
}

function strangePorts(endpoints: Endpoints, ports: Ports): Rule[] {
  const names = new Set(ports.map(({ name }) => name));
  return endpoints.flatMap(({ ports: own = {} }, index) =>
    Object.keys(own)
      .filter((name) => !names.has(name))
      .map((name) => ({
        path: ["endpoints", index, "ports", name],
        message: `must name a port of the service (${[...names].join(", ")})`,
      })),
  );
}
