/** A held task as inspect commands show it. Reads the arguments only now, when somebody asks. */
import type { ScheduledMessage } from '../broker/broker.ts';
import type { Request } from '../consumer/request.ts';
import type { RequestInfo, ScheduledInfo } from '../control/control-surface.ts';
import { formatIsoTime } from '../protocol/iso-time.ts';
import type { Message } from '../protocol/message.ts';
import { readContent, readReceipt, type TaskHeader } from '../protocol/task-message.ts';
import { reprArgs, reprKwargs } from '../std/safe-repr.ts';

/** `safe`: arguments as text, those of the message where it has them. */
export function requestInfo(request: Request, nodeName: string, safe: boolean): RequestInfo {
  const { header, delivery, startedAtSeconds, pid, acknowledged } = request;
  const info = messageInfo({ header, message: delivery, nodeName, safe });
  return {
    ...info,
    time_start: startedAtSeconds,
    acknowledged,
    delivery_info: {
      exchange: delivery.exchange,
      routing_key: delivery.routingKey,
      priority: delivery.properties.priority ?? null,
      redelivered: delivery.redelivered,
    },
    worker_pid: pid,
  };
}

/** Priority of timers, as Celery shows it for every task with an ETA. */
const timerPriority = 6;

/** null: it is no task. */
export function scheduledInfo(message: ScheduledMessage, nodeName: string): ScheduledInfo | null {
  const receipt = readReceipt(message);
  if (receipt.kind !== 'task') return null;
  const { header } = receipt;
  const { exchange, routingKey, properties, dueAtMs } = message;
  const info = messageInfo({ header, message, nodeName, safe: false });
  const deliveryInfo = { exchange, routing_key: routingKey, priority: properties.priority ?? null, redelivered: false };
  return { eta: formatIsoTime(header.etaMs ?? dueAtMs), priority: timerPriority, request: { ...info, delivery_info: deliveryInfo } };
}

interface MessageInfoParams {
  readonly header: TaskHeader;
  readonly message: Message;
  readonly nodeName: string;
  readonly safe: boolean;
}

/** Of a message that nobody has started. */
function messageInfo({ header, message, nodeName, safe }: MessageInfoParams): RequestInfo {
  const { args, kwargs } = safe ? textsOf(header, message) : valuesOf(header, message);
  return {
    id: header.id,
    name: header.shadow ?? header.task,
    args,
    kwargs,
    type: header.task,
    hostname: nodeName,
    time_start: null,
    acknowledged: false,
    delivery_info: {},
    worker_pid: null,
  };
}

function valuesOf(header: TaskHeader, message: Message): { args: unknown; kwargs: unknown } {
  try {
    const { args, kwargs } = readContent(message, header.protocol);
    return { args, kwargs };
  } catch {
    // Compressed or serialized as nobody here can read: what the sender said of it.
    return { args: header.argsrepr, kwargs: header.kwargsrepr };
  }
}

function textsOf(header: TaskHeader, message: Message): { args: unknown; kwargs: unknown } {
  if (header.argsrepr !== null && header.kwargsrepr !== null) return { args: header.argsrepr, kwargs: header.kwargsrepr };
  const { args, kwargs } = valuesOf(header, message);
  return { args: Array.isArray(args) ? reprArgs(args) : args, kwargs: isRecord(kwargs) ? reprKwargs(kwargs) : kwargs };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
