import { createSocket } from "node:dgram";
import dns2 from "dns2";

const { Packet } = dns2;

/** An answer as the tests compare it. */
export interface DnsAnswer {
  readonly rcode: number;
  readonly addresses: readonly string[];
  readonly ttl: number | undefined;
}

/**
 * Ask 127.0.0.1:`port` by UDP, once.
 *
 * @throws When no answer comes in `timeoutMs`.
 */
export async function dnsQuery(
  port: number,
  name: string,
  type: "A" | "AAAA" = "A",
  timeoutMs = 30_000,
): Promise<DnsAnswer> {
  const packet = new Packet();
  packet.header.id = Math.floor(Math.random() * 0xffff);
  packet.header.rd = 1;
  packet.questions.push(new Packet.Question({ name, type: Packet.TYPE[type], class: Packet.CLASS.IN }));
  const socket = createSocket("udp4");
  try {
    const answer = await new Promise<Buffer>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no answer from port ${port} for ${name} within ${timeoutMs} ms`)),
        timeoutMs,
      );
      const end = (settle: () => void) => {
        clearTimeout(timer);
        settle();
      };
      socket.once("error", (error) => end(() => reject(error)));
      socket.once("message", (message) => end(() => resolve(message)));
      socket.connect(port, "127.0.0.1", () => socket.send(packet.toBuffer()));
    });
    const { header, answers } = Packet.parse(answer);
    return {
      rcode: header.rcode,
      addresses: answers.flatMap(({ address }) => (address === undefined ? [] : [address])),
      ttl: answers[0]?.ttl,
    };
  } finally {
    socket.close();
  }
}

/** A record of continuous questions. */
export interface DnsPoll {
  /** How many were answered well. */
  readonly good: number;
  /** One sentence each. */
  readonly bad: readonly string[];
  stop(): Promise<void>;
}

/** Ask for each of `names` every 50 ms, and note every answer that is not exactly the address given for it. */
export function pollDns(port: number, names: ReadonlyMap<string, string>): DnsPoll {
  const bad: string[] = [];
  const asking = new Set<Promise<void>>();
  let good = 0;

  async function ask(name: string, address: string): Promise<void> {
    const at = new Date().toISOString();
    try {
      const { rcode, addresses } = await dnsQuery(port, name);
      if (rcode === 0 && addresses.join() === address) good++;
      else bad.push(`${at} ${name}: rcode ${rcode}, ${addresses.join()} instead of ${address}`);
    } catch (error) {
      bad.push(`${at} ${name}: ${String(error)}`);
    }
  }
  const timer = setInterval(() => {
    for (const [name, address] of names) {
      const one = ask(name, address);
      asking.add(one);
      void one.then(() => asking.delete(one));
    }
  }, 50);
  return {
    get good() {
      return good;
    },
    bad,
    async stop() {
      clearInterval(timer);
      await Promise.all(asking);
    },
  };
}
