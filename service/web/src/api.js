// The one way to the server.

import { emit } from "./state.js";

/** A request that was refused, with the sentence that the server says about it. */
export class Refusal extends Error {
  constructor(status, detail, headers = new Headers()) {
    super(detail);
    this.status = status;
    this.headers = headers;
  }
}

/** The sentence in a problem document, or one of our own. */
export function sentence(text, status) {
  try {
    const { detail } = JSON.parse(text);
    if (typeof detail === "string" && detail) return detail;
  } catch {
    // no problem document: a proxy's page, say
  }
  return `The server answered ${status}. Try again; if it stays so, its log says why.`;
}

/** The response, or a Refusal. `json` becomes the body; `signal` aborts. */
export async function request(method, path, { json, body, headers = {}, signal, cache } = {}) {
  const sent = json === undefined ? { ...headers } : { "Content-Type": "application/json", ...headers };
  let response;
  try {
    response = await fetch(path, {
      method,
      body: json === undefined ? body : JSON.stringify(json),
      headers: sent,
      signal,
      cache,
      credentials: "same-origin",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The server cannot be reached. Check the connection, then try again.");
  }
  if (response.ok) return response;
  if (response.status === 401) emit("signed-out");
  const text = await response.text();
  throw new Refusal(response.status, sentence(text, response.status), response.headers);
}

export async function get(path, options) {
  return (await request("GET", path, options)).json();
}

/** `path` with a query; empty values are left out. */
export function query(path, values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value != null);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}
