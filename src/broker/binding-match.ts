/**
 * Does a message with this routing key reach that binding?
 *
 * The rule of AMQP 0-9-1, for brokers that route by themselves (sqlite, memory, fanout listeners on redis). Pure.
 */
import type { ExchangeType } from './broker.ts';

/** 'headers' never matches: the brokers that route by themselves refuse to declare it. */
export function bindingMatches(type: ExchangeType, bindingKey: string, routingKey: string): boolean {
  switch (type) {
    case 'fanout':
      return true;
    case 'direct':
      return bindingKey === routingKey;
    case 'topic':
      return bindingKey === '#' || bindingKey === routingKey || wordsMatch(bindingKey.split('.'), 0, routingKey.split('.'), 0);
    case 'headers':
      return false;
  }
}

/** '*' is exactly one word, '#' any number of words, none included. */
function wordsMatch(pattern: readonly string[], patternAt: number, words: readonly string[], wordAt: number): boolean {
  let p = patternAt;
  let w = wordAt;
  for (; p < pattern.length; p++, w++) {
    if (pattern[p] === '#') {
      if (p === pattern.length - 1) return true;
      for (let skip = w; skip <= words.length; skip++) if (wordsMatch(pattern, p + 1, words, skip)) return true;
      return false;
    }
    if (w >= words.length) return false;
    if (pattern[p] !== '*' && pattern[p] !== words[w]) return false;
  }
  return w === words.length;
}
