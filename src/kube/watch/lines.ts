const LINE_FEED = 10;
const MAX_LINE_BYTES = 16 * 1024 * 1024;

/**
 * Split a byte stream into lines of text, without empty ones.
 *
 * @throws When a line exceeds 16 MiB: etcd holds no object that large.
 */
export async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    const buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
    let from = 0;
    for (let at = buffer.indexOf(LINE_FEED); at !== -1; at = buffer.indexOf(LINE_FEED, from)) {
      const line =
        parts.length === 0
          ? buffer.toString("utf8", from, at)
          : Buffer.concat([...parts, buffer.subarray(from, at)]).toString();
      if (line !== "") yield line;
      parts = [];
      bytes = 0;
      from = at + 1;
    }
    if (from === buffer.length) continue;
    parts.push(buffer.subarray(from));
    bytes += buffer.length - from;
    if (bytes > MAX_LINE_BYTES) throw new Error(`Cannot read a watch: a line must not exceed ${MAX_LINE_BYTES} bytes`);
  }
  if (parts.length > 0) yield Buffer.concat(parts).toString();
}
