/** All bindings of a queue declaration, its own first, with what is left open filled in. Pure. */
import type { ExchangeType, QueueDeclaration } from './broker.ts';

export interface WholeBinding {
  readonly exchange: string;
  readonly type: ExchangeType;
  readonly routingKey: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** None to the default exchange: every queue is bound to that by its name already. */
export function bindingsOf(queue: QueueDeclaration): readonly WholeBinding[] {
  const bindings: WholeBinding[] = [];
  const exchange = queue.exchange ?? queue.name;
  if (exchange !== '') {
    bindings.push({
      exchange,
      type: queue.exchangeType ?? 'direct',
      routingKey: queue.routingKey ?? queue.name,
      arguments: queue.bindingArguments ?? {},
    });
  }
  for (const further of queue.bindings ?? []) {
    if (further.exchange === '') continue;
    bindings.push({
      exchange: further.exchange,
      type: further.exchangeType ?? 'direct',
      routingKey: further.routingKey ?? '',
      arguments: further.arguments ?? {},
    });
  }
  return bindings;
}
