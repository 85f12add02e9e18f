import type { KubeClient, KubeRequest } from "../../../src/kube/client/client.ts";
import { KubeStatusError } from "../../../src/kube/client/kube-error.ts";
import { serverClock } from "../../../src/kube/client/server-clock.ts";
import type { Clock, Process } from "../clock.ts";
import type { RequestFault, Effect as Took } from "../effects.ts";
import type { ApiAnswer, ApiServer, ApiWatch, Effect } from "./api-server.ts";

/** How bad the way to the API server is for one process. */
export interface Network {
  /** Of 100 requests, so many meet `fault`. */
  faultPercent: number;
  fault: RequestFault;
  /** Requests and answers take up to this long. */
  latencyMs: number;
  /** News of a watch come so much later. */
  watchDelayMs: number;
  /** Watches stay open and say nothing. */
  isSilent: boolean;
  /** When it was last bad. */
  lastBadMs: number;
  /** Watches under way, to be broken. */
  readonly breaks: Set<() => void>;
}

export function goodNetwork(): Network {
  return {
    faultPercent: 0,
    fault: "error",
    latencyMs: 5,
    watchDelayMs: 0,
    isSilent: false,
    lastBadMs: 0,
    breaks: new Set(),
  };
}

/** Note whether `process` can hear all. */
export function lookAt(network: Network, { state }: Process, nowMs: number): void {
  const { faultPercent, watchDelayMs, isSilent } = network;
  if (faultPercent > 0 || watchDelayMs > 0 || isSilent || state !== "running") network.lastBadMs = nowMs;
}

/** Who looks on. */
export interface ClientHooks {
  /** A request leaves the process. What it gives is called with what became of it. */
  onSend(request: KubeRequest): (effect: Effect) => void;
  /** Whether the API server refuses this for want of rights. */
  isForbidden(method: string, path: string): boolean;
  /** A fault had its effect. */
  took(effect: Took): void;
}

/** A late request arrives when its sender has long given up, and when another may already lead. */
const LATE_MS = 20_000;
const WRITE_TIMEOUT_MS = 4000;
const READ_TIMEOUT_MS = 30_000;
const BOOKMARK_MS = 55_000;
const WATCH_ENDS_MS = 400_000;

/** The client of one process, as `kubeClient` is one over HTTP: the same time limits, the same errors. */
export function networkClient(
  api: ApiServer,
  clock: Clock,
  process: Process,
  network: Network,
  random: () => number,
  { onSend, isForbidden, took }: ClientHooks,
): KubeClient {
  const serverTime = serverClock(() => clock.nowMs());
  const latency = () => 1 + random() * network.latencyMs;

  function pickFault(): RequestFault | undefined {
    return random() * 100 < network.faultPercent ? network.fault : undefined;
  }

  function request(wanted: KubeRequest): Promise<unknown> {
    const { method, path, action, body, contentType, signal, fieldManager = "x2istio" } = wanted;
    const timeoutMs = wanted.timeoutMs ?? (method === "GET" ? READ_TIMEOUT_MS : WRITE_TIMEOUT_MS);
    const onEffect = onSend(wanted);
    const fault = pickFault();
    const full = method === "GET" || method === "DELETE" ? path : `${path}?fieldManager=${fieldManager}`;
    // What is sent is what it is now, whatever becomes of the object later.
    const sent = body === undefined ? undefined : JSON.parse(JSON.stringify(body));
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const fail = (cause: unknown) => end(() => reject(new Error(`Cannot ${action}`, { cause })));
      const abort = () => end(() => reject(signal?.reason));
      const callOff = clock.after(timeoutMs, process, () => fail(new Error(`no answer within ${timeoutMs / 1000} s`)));
      signal?.addEventListener("abort", abort, { once: true });
      clock.after(fault === "late" ? LATE_MS * random() : latency(), undefined, () => {
        if (fault !== undefined) took(`a request meets: ${fault}`);
        const isRefused = isForbidden(method, path);
        if (isRefused)
          took(method === "GET" ? "a read is refused for want of rights" : "a write is refused for want of rights");
        const refused = isRefused ? FORBIDDEN : REFUSALS[fault ?? ""];
        if (fault === "lost") return void clock.after(latency(), process, () => fail(new Error("socket hang up")));
        const answer = refused ?? api.handle({ method, path: full, body: sent, contentType }, onEffect);
        if (fault === "unanswered") clock.after(latency(), process, () => fail(new Error("socket hang up")));
        else clock.after(latency(), process, () => end(() => take(answer)));
      });

      function end(settle: () => void): void {
        callOff();
        signal?.removeEventListener("abort", abort);
        settle();
      }

      function take({ status, body }: ApiAnswer): void {
        serverTime.observe(new Date(clock.wallMs()).toUTCString());
        if (status >= 300)
          reject(new KubeStatusError(action, status, body, status === 429 || status === 503 ? 1 : undefined));
        else resolve(body);
      }
    });
  }

  async function watch(path: string, action: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    signal.throwIfAborted();
    const fault = pickFault();
    await new Promise<void>((resolve) => clock.after(latency(), process, resolve));
    signal.throwIfAborted();
    if (isForbidden("GET", path)) {
      took("a read is refused for want of rights");
      throw new KubeStatusError(action, FORBIDDEN.status, FORBIDDEN.body);
    }
    if (fault !== undefined && fault !== "late") throw new Error(`Cannot ${action}`, { cause: new Error(fault) });
    const stream = lineStream(signal);
    let isCut = false;
    const onTheWay: Buffer[] = [];
    const arrive = () => {
      const line = onTheWay.shift(); // in the order in which they were sent, whichever takes longer
      if (line !== undefined) stream.push(line);
    };
    const opened = api.watch(path, (line) => {
      // What was lost on a connection never comes later, and nothing comes after it.
      isCut ||= network.isSilent;
      if (isCut) return took("news are lost on a silent watch");
      if (network.watchDelayMs > 0) took("news come late");
      onTheWay.push(line);
      clock.after(network.watchDelayMs + latency(), process, arrive);
    });
    if ("status" in opened) took("a watch is told that its version is gone");
    if ("status" in opened) throw new KubeStatusError(action, opened.status, opened.body);
    attend(opened, stream);
    return stream.lines;
  }

  function attend(opened: ApiWatch, stream: LineStream): void {
    let isOpen = true;
    const end = () => {
      isOpen = false;
      network.breaks.delete(end);
      api.unwatch(opened);
      stream.end();
    };
    const remind = () => {
      if (!isOpen || process.state === "dead") return end();
      api.bookmark(opened);
      clock.after(BOOKMARK_MS, undefined, remind);
    };
    stream.onEnd = end;
    network.breaks.add(end);
    clock.after(BOOKMARK_MS, undefined, remind);
    clock.after(WATCH_ENDS_MS, process, end);
  }

  return {
    server: "https://192.0.2.1",
    namespace: undefined,
    request,
    watch,
    nowMs: serverTime.nowMs,
    close: async () => undefined,
  };
}

const FORBIDDEN: ApiAnswer = { status: 403, body: { reason: "Forbidden", message: "no right to do that" } };
const REFUSALS: Readonly<Record<string, ApiAnswer>> = {
  busy: { status: 429, body: { reason: "TooManyRequests" } },
  error: { status: 500, body: { reason: "InternalError" } },
  unavailable: { status: 503, body: { reason: "ServiceUnavailable" } },
};

interface LineStream {
  readonly lines: AsyncIterable<Uint8Array>;
  push(line: Buffer): void;
  end(): void;
  onEnd: () => void;
}

/** Lines that come one by one, in order, until `signal` aborts. */
function lineStream(signal: AbortSignal): LineStream {
  const waiting: Buffer[] = [];
  let wake: () => void = () => undefined;
  let isEnded = false;
  const stream: LineStream = {
    lines: read(),
    push(line) {
      waiting.push(line);
      wake();
    },
    end() {
      isEnded = true;
      wake();
    },
    onEnd: () => undefined,
  };
  return stream;

  async function* read(): AsyncGenerator<Uint8Array> {
    const abort = () => wake();
    signal.addEventListener("abort", abort);
    try {
      for (;;) {
        signal.throwIfAborted();
        const line = waiting.shift();
        if (line !== undefined) yield line;
        else if (isEnded) return;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      signal.removeEventListener("abort", abort);
      stream.onEnd();
    }
  }
}
