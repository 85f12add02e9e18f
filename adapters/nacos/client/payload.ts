import { ReadError } from "../../../src/errors.ts";

/** The one message of Nacos' gRPC, whatever it asks or answers. */
export interface Payload {
  /** Simple name of a Java class: `ServiceListRequest`. */
  readonly type: string;
  /** JSON. */
  readonly body: Uint8Array;
}

// nacos_grpc_service.proto: Payload {2: Metadata {3: type, 7: headers, 8: clientIp}, 3: Any {2: value}}
const METADATA = 2;
const TYPE = 3;
const HEADERS = 7;
const BODY = 3;
const VALUE = 2;
/** Protocol Buffers' lengths of what follows a tag: a varint, 8 octets, a length and so many octets, 4 octets. */
const [VARINT, FIXED64, DELIMITED, FIXED32] = [0, 1, 2, 5];

/** Write a message. */
export function encodePayload(
  { type, body }: Payload,
  headers: Readonly<Record<string, string>> = {},
): Buffer<ArrayBuffer> {
  const text = (field: number, value: string) => delimited(field, Buffer.from(value));
  const entries = Object.entries(headers).map(([key, value]) =>
    delimited(HEADERS, Buffer.concat([text(1, key), text(2, value)])),
  );
  const metadata = Buffer.concat([text(TYPE, type), ...entries]);
  return Buffer.concat([delimited(METADATA, metadata), delimited(BODY, delimited(VALUE, body))]);
}

/**
 * Read a message. Fields that are not used may be anything.
 *
 * @throws {ReadError} When it is no such message.
 */
export function decodePayload(octets: Uint8Array): Payload {
  let type = "";
  let body: Uint8Array = new Uint8Array();
  for (const { field, value } of fields(octets))
    if (field === METADATA) type = lastOf(value, TYPE)?.toString() ?? type;
    else if (field === BODY) body = lastOf(value, VALUE) ?? body;
  if (type === "") throw new ReadError("answer", "is no message of Nacos: it says no type");
  return { type, body };
}

function delimited(field: number, octets: Uint8Array): Buffer<ArrayBuffer> {
  return Buffer.concat([varint(field * 8 + DELIMITED), varint(octets.length), octets]);
}

function varint(number: number): Uint8Array {
  const octets: number[] = [];
  for (let rest = number; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...octets, rest]);
    octets.push((rest % 128) + 128);
  }
}

function lastOf(octets: Uint8Array, wanted: number): Buffer | undefined {
  let found: Uint8Array | undefined;
  for (const { field, value } of fields(octets)) if (field === wanted) found = value;
  return found === undefined ? undefined : Buffer.from(found.buffer, found.byteOffset, found.length);
}

/** The fields of a message that are texts, octets or messages; others are passed over. */
function* fields(octets: Uint8Array): Generator<{ readonly field: number; readonly value: Uint8Array }> {
  let at = 0;
  function number(): number {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 63; factor *= 128) {
      const octet = octets[at++];
      if (octet === undefined) break;
      value += (octet % 128) * factor;
      if (octet < 128) return value;
    }
    throw new ReadError("answer", "is no message of Nacos: it is cut");
  }
  while (at < octets.length) {
    const tag = number();
    const wire = tag % 8;
    let length = 0;
    if (wire === VARINT) number();
    else if (wire === FIXED64) length = 8;
    else if (wire === FIXED32) length = 4;
    else if (wire === DELIMITED) length = number();
    else throw new ReadError("answer", "is no message of Nacos: it has a field of unknown form");
    const start = at;
    at += length;
    if (at > octets.length) throw new ReadError("answer", "is no message of Nacos: it is cut");
    if (wire === DELIMITED) yield { field: Math.floor(tag / 8), value: octets.subarray(start, at) };
  }
}
