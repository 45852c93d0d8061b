// Shows the API's description. Requests from the page go to the server that sent it.
"use strict";

const { root } = document.body.dataset;
fetch(`${root}/schema/openapi.json`)
  .then((answer) => answer.json())
  .then((description) =>
    SwaggerUIBundle({
      spec: { ...description, servers: [{ url: root || "/" }] },
      dom_id: "#reference",
      deepLinking: true,
    }),
  );
