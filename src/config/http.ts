import { z } from "zod";
import { durationMs, socketAddress, textField } from "./fields.ts";
import { reportFields } from "./reports.ts";
import { mapping, unique } from "./shapes.ts";

/** `http`: where it is answered, how, and to whom. */
export const httpFields = mapping({
  listen: textField((text) => socketAddress(text, { minPort: 0 })).prefault("127.0.0.1:8080"),
  tls: mapping({ certFile: z.string().min(1), keyFile: z.string().min(1) }).exactOptional(),
  authorization: mapping({ audiences: z.array(z.string().min(1)).superRefine(unique).default([]) }).exactOptional(),
  reports: reportFields.exactOptional(),
  readyWait: textField(durationMs).prefault("1m"),
}).transform(({ readyWait, ...rest }) => ({ ...rest, readyWaitMs: readyWait }));
