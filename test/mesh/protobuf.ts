/** A message as it is on the wire: by field number, numbers (varints) and bytes (texts, messages) in their order. */
export type Message = ReadonlyMap<number, readonly (number | Buffer)[]>;

/** Take a message apart (protobuf.dev, "Encoding"): what its fields mean is the reader's to know. */
export function decode(bytes: Buffer): Message {
  const fields = new Map<number, (number | Buffer)[]>();
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes.readUInt8(at++);
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  const take = (length: number) => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const key = varint();
    const kind = key & 7;
    const value = kind === 0 ? varint() : take(kind === 2 ? varint() : kind === 1 ? 8 : 4);
    const number = key >> 3;
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}

/** All messages of a field. */
export function messages(message: Message, field: number): readonly Message[] {
  return buffers(message, field).map(decode);
}

/** All bytes of a field. */
export function buffers(message: Message, field: number): readonly Buffer[] {
  return (message.get(field) ?? []).filter((value) => typeof value !== "number");
}

/** A text, empty where the field is absent. */
export function textOf(message: Message | undefined, field: number): string {
  return message === undefined ? "" : (buffers(message, field)[0]?.toString() ?? "");
}

/** A number, 0 where the field is absent. */
export function numberOf(message: Message, field: number): number {
  const [value] = message.get(field) ?? [];
  return typeof value === "number" ? value : 0;
}

/** Put a message together of texts, bytes and messages. */
export function encode(fields: readonly (readonly [field: number, value: string | Buffer])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([field, value]) => {
      const bytes = typeof value === "string" ? Buffer.from(value) : value;
      return [varintOf((field << 3) | 2), varintOf(bytes.length), bytes];
    }),
  );
}

function varintOf(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    bytes.push((left % 128) + (left >= 128 ? 128 : 0));
    if (left < 128) return Buffer.from(bytes);
  }
}
