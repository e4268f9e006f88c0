// Requests to the server. All addresses are relative: the path of the page has the token.

export async function getText(path, params, signal) {
  const answer = await fetch(`api/${path}?${new URLSearchParams(params)}`, { signal });
  if (!answer.ok) throw new Error((await answer.text()).trim() || `status ${answer.status}`);
  return answer.text();
}

export const getJSON = async (path, params, signal) => JSON.parse(await getText(path, params, signal));

const retryAfter = 3000; // milliseconds, as browsers do

// updates loads everything page by page, then listens for what changes. A page in the
// background does not listen: a browser has six connections for all pages of a server.
export async function updates({ changes, health, state }) {
  let position = { after: 0, began: 0 };
  const take = (page) => {
    position = { after: page.revision, began: page.began };
    changes(page);
  };
  for (let more = true; more; ) {
    const page = await getJSON("changes", { ...position, limit: 2000 });
    take(page);
    more = page.more === true;
  }
  let source = null;
  let again = 0; // the timer
  const listen = () => {
    clearTimeout(again);
    source?.close();
    source = null;
    if (document.hidden) return;
    source = new EventSource(`api/updates?${new URLSearchParams(position)}`);
    source.addEventListener("open", () => state(true));
    source.addEventListener("error", () => {
      state(false);
      if (source.readyState === EventSource.CLOSED) again = setTimeout(listen, retryAfter); // otherwise the browser connects again
    });
    source.addEventListener("health", (e) => health(JSON.parse(e.data)));
    source.addEventListener("changes", (e) => take(JSON.parse(e.data)));
  };
  document.addEventListener("visibilitychange", listen);
  listen();
}
