/** From a message to the request that task code sees as its context. */
import type { ChildSettings } from '../ipc/exchange.ts';
import type { TaskRequest } from '../task/task-context.ts';
import { customHeaders } from './custom-headers.ts';
import type { PreparedTask } from './run-task.ts';

export function requestOf(task: PreparedTask, settings: ChildSettings): TaskRequest {
  const { header, content, meta } = task;
  const { exchange, routing_key: routingKey, priority, redelivered } = meta.deliveryInfo;
  return {
    id: header.id,
    name: header.task,
    args: content.args,
    kwargs: content.kwargs,
    retries: header.retries,
    hostname: settings.nodeName,
    deliveryInfo: { exchange, routingKey, priority, redelivered },
    rootId: header.rootId,
    parentId: header.parentId,
    group: header.group,
    groupIndex: header.groupIndex,
    correlationId: meta.properties.correlationId ?? null,
    replyTo: meta.properties.replyTo ?? null,
    eta: textOf(meta.headers?.eta),
    expires: textOf(meta.headers?.expires),
    timelimit: [header.hardTimeLimitSeconds, header.softTimeLimitSeconds],
    origin: header.origin,
    shadow: header.shadow,
    get headers() {
      return customHeaders(meta.headers);
    },
    ignoreResult: header.ignoreResult === true || (task.definition.options.ignoreResult ?? settings.taskDefaults.ignoreResult),
    callbacks: content.callbacks,
    errbacks: content.errbacks,
    chain: content.chain,
    chord: content.chord,
  };
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
