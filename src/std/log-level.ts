/** The levels of log lines, as Celery names them. Larger rank is worse. */

export type LogLevel = 'debug' | 'info' | 'warning' | 'error' | 'critical';

export const levelRank: Readonly<Record<LogLevel, number>> = { debug: 10, info: 20, warning: 30, error: 40, critical: 50 };
