import { z } from "zod";
import { isNamePart, MAX_WEIGHT, PROTOCOLS, protocolOf } from "../../src/istio/limits.ts";
import { checkedText, endpointAddress, namePart, portName, serviceName } from "../fields.ts";
import { duration } from "../options.ts";

// The document is read with YAML's failsafe schema: every scalar is the text that was written, so that
// a version 1.10 or a service 64001.65536 arrives as it stands in the file. Empty values are null.
const whole = (least: number, most: number) =>
  checkedText(
    `must be ${least}–${most}`,
    (value) => /^(0|[1-9]\d{0,9})$/.test(value) && Number(value) >= least && Number(value) <= most,
  ).transform(Number);

const flag = checkedText("must be true or false", (value) => /^(true|false)$/i.test(value)).transform(
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

const texts = z.record(z.string(), checkedText("must be a text"), { error: "must be a mapping" });

const protocol = checkedText(
  `must be one of ${PROTOCOLS.join(", ")} or metaprotocol-<name>`,
  (value) => protocolOf(value) !== undefined,
).transform((value) => protocolOf(value) ?? value);

const port = mapping({ name: portName, number: whole(1, 65535), protocol, targetPort: whole(1, 65535).optional() });

const localityPart = checkedText("must be a printable text without slash", isNamePart).optional();

const endpoint = mapping({
  address: endpointAddress,
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
  path: checkedText("must begin with a slash and hold no space", (value) => /^\/[\x21-\x7e]*$/.test(value)).default(
    "/",
  ),
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
export const itemSchema = mapping({
  namespace: namePart.optional(),
  name: serviceName,
  ports: list(port, 1),
  endpoints: list(endpoint),
  metadata: texts.optional(),
  legacyNames: list(checkedText("must be a name", (value) => value !== "")).optional(),
  check: check.optional(),
});

/** Forms as they are once they are checked: of a service, an endpoint and a health check. */
export type ItemForm = z.output<typeof itemSchema>;
export type EndpointForm = ItemForm["endpoints"][number];
export type CheckForm = NonNullable<ItemForm["check"]>;
