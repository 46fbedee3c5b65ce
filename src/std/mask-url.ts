/**
 * Hides the passwords in URLs before they are shown.
 *
 * Works on text, not on parsed URLs, so that a malformed URL or a list (`a;b`, `a,b`) is masked as well: whatever could be a
 * password is hidden, at the price of sometimes hiding more. The user name stays, as in Celery's own output (`amqp://me:**@host//`).
 *
 * Never does: changing a URL that somebody will connect with.
 */

/** scheme://user:password@ up to the last @ before the path ends; the password may itself contain `:` and `@`. */
const userInfo = /([a-z][a-z0-9+.-]*:\/\/[^/:@?#\s]*:)([^/?#\s;]*)@/gi;
/** The same for a password with an unescaped `/`, `?` or `#`: anything up to an @ with a host after it. */
const brokenUserInfo = /([a-z][a-z0-9+.-]*:\/\/[^/:@?#\s;,]*:)([^@\s;,]*[/?#][^@\s;,]*)@/gi;
/** ?password=…, &token=…, &ssl_key_password=… */
const secretParameter = /([?&][^=&#\s;,]*(?:password|passwd|secret|token|api_?key)[^=&#\s;,]*=)([^&#\s;,]+)/gi;

/** Every password, token and key inside the URLs of `text` replaced by `**`. */
export function maskUrl(text: string): string {
  return text.replace(userInfo, '$1**@').replace(brokenUserInfo, '$1**@').replace(secretParameter, '$1**');
}
