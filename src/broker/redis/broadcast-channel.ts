/**
 * One subscription to the broadcasts of an exchange: which channels and patterns that takes, and which of the messages are meant.
 *
 * A publisher puts the routing key into the channel's name (`fanout_patterns`), so a listener to everything of an exchange subscribes
 * to the bare channel and to a pattern below it. Redis's `*` also matches dots: topics are looked at once more here.
 */
import type { RedisSubscriber } from '../../driver/redis-subscriber.ts';
import { type DecodedEnvelope, decodeEnvelope } from '../../protocol/virtual-envelope.ts';
import { bindingMatches } from '../binding-match.ts';
import type { ExchangeType } from '../broker.ts';
import type { KeyLayout } from './key-layout.ts';

export interface BroadcastParams {
  readonly subscriber: RedisSubscriber;
  readonly layout: KeyLayout;
  readonly exchange: string;
  readonly exchangeType: ExchangeType;
  readonly routingKey: string;
  onMessage(decoded: DecodedEnvelope): void;
  /** Not a message. */
  onGarbage(error: unknown): void;
}

/** Resolves, when the server has the subscriptions, with the way to end them. */
export async function subscribeBroadcast(params: BroadcastParams): Promise<() => Promise<void>> {
  const { subscriber, layout, exchange, exchangeType, routingKey } = params;
  const hear = (payload: string | readonly string[]): void => {
    let decoded: DecodedEnvelope;
    try {
      decoded = decodeEnvelope(String(payload));
    } catch (error) {
      params.onGarbage(error);
      return;
    }
    if (bindingMatches(exchangeType, routingKey, decoded.routingKey)) params.onMessage(decoded);
  };
  const ends = await Promise.all([
    ...channelsOf(layout, exchange, exchangeType, routingKey).map((channel) => subscriber.subscribe(channel, hear)),
    ...patternsOf(layout, exchange, exchangeType, routingKey).map((pattern) => subscriber.psubscribe(pattern, hear)),
  ]);
  return async () => {
    await Promise.all(ends.map((end) => end()));
  };
}

function channelsOf(layout: KeyLayout, exchange: string, type: ExchangeType, routingKey: string): string[] {
  const bare = layout.channel(exchange, '');
  if (!layout.fanoutPatterns || type === 'fanout' || routingKey === '#' || routingKey === '') return [bare];
  const channels: string[] = [];
  // '#' is also no word at all.
  if (routingKey.endsWith('.#')) channels.push(layout.channel(exchange, routingKey.slice(0, -2)));
  if (!/[#*]/.test(routingKey)) channels.push(layout.channel(exchange, routingKey));
  return channels;
}

function patternsOf(layout: KeyLayout, exchange: string, type: ExchangeType, routingKey: string): string[] {
  if (!layout.fanoutPatterns) return [];
  const below = `${escapeGlob(layout.channel(exchange, ''))}/`;
  if (type === 'fanout' || routingKey === '#') return [`${below}*`];
  if (!/[#*]/.test(routingKey)) return [];
  return [below + escapeGlob(routingKey, '*').replaceAll('#', '*')];
}

function escapeGlob(text: string, except = ''): string {
  return text.replace(/[*?[\]\\]/g, (character) => (except.includes(character) ? character : `\\${character}`));
}
