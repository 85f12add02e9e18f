import ipaddr from "ipaddr.js";

/** Where a resolver's client is (RFC 7871 §6). */
export interface ClientSubnet {
  /** Canonical text; bits behind the prefix are 0. */
  readonly address: string;
  /** 0: the client does not want to tell where it is (RFC 7871 §7.1.2). */
  readonly bits: number;
  /** Octets of the option's data, for the answer. */
  readonly data: Uint8Array;
}

const MAX_BITS: Readonly<Record<number, number>> = { 1: 32, 2: 128 };

/** Read the data of a CLIENT-SUBNET option; undefined for what is FORMERR (RFC 7871 §7.1.2): unknown family, too many bits, bits behind the prefix. */
export function readClientSubnet(data: Uint8Array): ClientSubnet | undefined {
  const [family = 0, bits = 0, scope = 0] = [((data[0] ?? 0) << 8) | (data[1] ?? 0), data[2], data[3]];
  const most = MAX_BITS[family];
  const octets = data.subarray(4);
  if (data.length < 4 || most === undefined || bits > most || scope !== 0) return undefined;
  if (octets.length !== Math.ceil(bits / 8)) return undefined;
  if (bits % 8 !== 0 && ((octets.at(-1) ?? 0) & (0xff >> (bits % 8))) !== 0) return undefined;
  const whole = Buffer.alloc(most / 8);
  whole.set(octets);
  return { address: ipaddr.fromByteArray([...whole]).toString(), bits, data };
}

/** The option's data in an answer: whoever is in that subnet would have got the same, or everybody (RFC 7871 §7.2.1). */
export function answeredSubnet({ data }: ClientSubnet, dependsOnClient: boolean): Buffer {
  const answer = Buffer.from(data);
  answer[3] = dependsOnClient ? (data[2] as number) : 0;
  return answer;
}
