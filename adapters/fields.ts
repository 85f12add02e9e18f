import { z } from "zod";
import { parseAddress } from "../src/istio/address.ts";
import { isNamePart, isPortName, isServiceName } from "../src/istio/limits.ts";

/** A text that `check` passes, or the sentence what it must be. */
export function checkedText(must: string, check: (value: string) => boolean = () => true) {
  return z.string({ error: must }).refine(check, must);
}

/** The name of a service. */
export const serviceName = checkedText("must be a printable text of at most 253 characters", isServiceName);

/** A namespace, region, zone or subzone. */
export const namePart = checkedText("must be a printable text of at most 253 characters without slash", isNamePart);

/** The name of a port. */
export const portName = checkedText("must be a DNS label: a–z, 0–9 and -, at most 63 characters", isPortName);

/** The address of an endpoint, in canonical text. */
export const endpointAddress = z.string({ error: "must be an IPv4 or IPv6 address" }).transform((value, context) => {
  const parsed = parseAddress(value);
  if (parsed.address !== undefined) return parsed.address;
  context.issues.push({ code: "custom", message: parsed.must, input: value });
  return z.NEVER;
});
