/** A message with its length before it, as one write (RFC 7766 §8). */
export function frame(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(2 + message.length);
  framed.writeUInt16BE(message.length, 0);
  message.copy(framed, 2);
  return framed;
}

/**
 * Cuts a TCP stream into messages (RFC 1035 §4.2.2). The function returned takes the next octets and gives the messages
 * that are complete now, or undefined from the first message on that is longer than `maxBytes`.
 */
export function frameReader(maxBytes: number): (chunk: Buffer) => readonly Buffer[] | undefined {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const messages: Buffer[] = [];
    while (rest.length >= 2) {
      const length = rest.readUInt16BE(0);
      if (length > maxBytes) return undefined;
      if (rest.length < 2 + length) break;
      messages.push(rest.subarray(2, 2 + length));
      rest = rest.subarray(2 + length);
    }
    // A few octets must not keep the whole chunk that they came with.
    if (rest.length > 0 && rest.length < chunk.length) rest = Buffer.from(rest);
    return messages;
  };
}
