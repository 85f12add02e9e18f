import { z } from "zod";
import { cidr, dnsLabel, dnsName, durationMs, ipAddress, socketAddress, textField } from "./fields.ts";
import { mapping, unique } from "./shapes.ts";

const LOCAL_RANGES = [
  "127.0.0.0/8",
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "::1/128",
  "fc00::/7",
  "fe80::/10",
];

const listenAddress = textField((text) => socketAddress(text, { minPort: 0 }));

/** Where another DNS server is asked: an address, or a mapping for TLS. */
const upstream = z.union([
  textField((text) => socketAddress(text, { defaultPort: 53, minPort: 1 })),
  mapping({
    address: textField((text) => socketAddress(text, { defaultPort: 853, minPort: 1 })),
    tls: textField(dnsName),
    ca: z.string().min(1).exactOptional(),
  }).transform(({ address, tls, ca }) => ({ ...address, tls: { name: tls, ...(ca === undefined ? {} : { ca }) } })),
]);

const zone = z.union([
  textField(dnsName).transform((name) => ({ name, forward: [] })),
  mapping({
    name: textField(dnsName),
    forward: z
      .array(upstream, "is missing: an overlay without upstream; write the zone as a plain name if it is ours")
      .min(1, "is an overlay without upstream; write the zone as a plain name if it is ours"),
  }),
]);

const view = mapping({
  name: textField(dnsLabel),
  clients: z.array(textField(cidr)).min(1).superRefine(unique),
  answer: z.union([
    z.enum(["vips", "endpoints"]),
    z.array(textField(ipAddress)).min(1, "must be vips, endpoints or a list of addresses").max(8).superRefine(unique),
  ]),
  region: z.string().min(1).exactOptional(),
  zone: z.string().min(1).exactOptional(),
});

/** The section `dns`. */
export const dnsFields = mapping({
  listen: z.array(listenAddress).min(1).superRefine(unique).prefault(["127.0.0.1:5353"]),
  ttl: textField(ttlSeconds).prefault("30s"),
  zones: z.array(zone).superRefine(oncePerName("zone")).exactOptional(),
  names: mapping({
    secretFile: z.string().min(1).exactOptional(),
    ca: z.string().min(1).exactOptional(),
    tokenFile: z.string().min(1).exactOptional(),
    suffixes: z
      .array(textField((text) => (text === "." ? "" : dnsName(text))))
      .superRefine(unique)
      .default([]),
  }).prefault({}),
  forward: z.array(upstream).superRefine(unique).default([]),
  allow: z.array(textField(cidr)).superRefine(unique).default(LOCAL_RANGES),
  nsid: z.string().min(1).max(128).exactOptional(),
  txt: z.boolean().default(false),
  cacheMiB: z.int().min(0).max(4096).default(16),
  views: z.array(view).superRefine(oncePerName("view")).default([]),
  clientSubnetFrom: z.array(textField(cidr)).superRefine(unique).default([]),
  rateLimit: mapping({
    perSecond: z.int().min(1).max(1_000_000),
    slip: z.int().min(0).max(100).default(2),
  }).exactOptional(),
  queryLog: z.number().min(0).max(1).default(0),
  workers: z.int().min(0).max(64).exactOptional(),
}).transform(({ ttl, txt, ...rest }) => ({ ...rest, ttlSeconds: ttl, tellsServices: txt }));

function ttlSeconds(text: string): number {
  const seconds = durationMs(text) / 1000;
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > 86_400)
    throw new Error(`must be whole seconds from 1s to 1d, not "${text}"`);
  return seconds;
}

function oncePerName(what: string) {
  return (
    items: readonly { readonly name: string }[],
    context: z.RefinementCtx<readonly { readonly name: string }[]>,
  ): void => {
    items.forEach(({ name }, index) => {
      if (items.findIndex((other) => other.name === name) < index)
        context.addIssue({ code: "custom", path: [index], message: `${what} "${name}" is listed twice` });
    });
  };
}
