import { z } from "zod";
import { parseAddress } from "../address.ts";
import { isNamePart, isPortName, isServiceName, MAX_WEIGHT, PROTOCOLS, protocolOf } from "../istio.ts";
import { duration } from "../options.ts";

// The document is read with YAML's failsafe schema: every scalar is the text that was written, so that
// a version 1.10 or a service 64001.65536 arrives as it stands in the file. Empty values are null.
const text = (must: string, check: (value: string) => boolean = () => true) =>
  z.string({ error: must }).refine(check, must);

const whole = (least: number, most: number) =>
  text(
    `must be ${least}–${most}`,
    (value) => /^(0|[1-9]\d{0,9})$/.test(value) && Number(value) >= least && Number(value) <= most,
  ).transform(Number);

const flag = text("must be true or false", (value) => /^(true|false)$/i.test(value)).transform(
  (value) => value.toLowerCase() === "true",
);

const list = <Item extends z.ZodType>(item: Item, least = 0) => {
  const must = least === 0 ? "must be a list" : "must be a list with at least one item";
  return z.array(item, { error: must }).min(least, must);
};

const mapping = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: ({ code }) =>
      code === "unrecognized_keys"
        ? `is not known here; known are ${Object.keys(shape).join(", ")}`
        : "must be a mapping",
  });

const texts = z.record(z.string(), text("must be a text"), { error: "must be a mapping" });

export const serviceName = text("must be a printable text of at most 253 characters", isServiceName);
export const namespaceName = text("must be a printable text of at most 253 characters without slash", isNamePart);

const portName = text("must be a DNS label: a–z, 0–9 and -, at most 63 characters", isPortName);

const protocol = text(
  `must be one of ${PROTOCOLS.join(", ")} or metaprotocol-<name>`,
  (value) => protocolOf(value) !== undefined,
).transform((value) => protocolOf(value) ?? value);

const port = mapping({ name: portName, number: whole(1, 65535), protocol, targetPort: whole(1, 65535).optional() });

const localityPart = text("must be a printable text without slash", isNamePart).optional();

const address = (loopback: boolean) =>
  z.string({ error: "must be an IPv4 or IPv6 address" }).transform((value, context) => {
    const parsed = parseAddress(value, loopback);
    if (parsed.address !== undefined) return parsed.address;
    context.issues.push({ code: "custom", message: parsed.must, input: value });
    return z.NEVER;
  });

const endpoint = (loopback: boolean) =>
  mapping({
    address: address(loopback),
    ports: z.record(z.string(), whole(1, 65535), { error: "must be a mapping" }).optional(),
    weight: whole(0, MAX_WEIGHT).optional(),
    labels: texts.optional(),
    region: localityPart,
    zone: localityPart,
    subzone: localityPart,
    enabled: flag.optional(),
  });

const status = z.preprocess((value) => (typeof value === "string" ? [value] : value), list(whole(100, 599), 1));

const http = mapping({
  port: portName,
  path: text("must begin with a slash and hold no space", (value) => /^\/[\x21-\x7e]*$/.test(value)).default("/"),
  status: status.default([200]),
});

const check = mapping({
  tcp: portName.optional(),
  http: http.optional(),
  interval: duration("100ms", "1h").default(5000),
  timeout: duration("10ms", "1m").default(2000),
  rise: whole(1, 100).default(2),
  fall: whole(1, 100).default(3),
});

/** The form of one service in the file. */
export function itemSchema(loopback: boolean) {
  return mapping({
    namespace: namespaceName.optional(),
    name: serviceName,
    ports: list(port, 1),
    endpoints: list(endpoint(loopback)),
    metadata: texts.optional(),
    legacyNames: list(text("must be a name", (value) => value !== "")).optional(),
    check: check.optional(),
  });
}

export type ItemSchema = ReturnType<typeof itemSchema>;
export type ItemForm = z.output<ItemSchema>;
export type EndpointForm = ItemForm["endpoints"][number];
export type CheckForm = NonNullable<ItemForm["check"]>;
