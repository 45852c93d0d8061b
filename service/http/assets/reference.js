// The API's description, to browse. What is tried out is sent to where the page came from, whatever address the service is known by.
"use strict";

const { root } = document.body.dataset;
fetch(`${root}/schema/openapi.json`)
  .then((answer) => answer.json())
  .then((description) => SwaggerUIBundle({ spec: { ...description, servers: [{ url: root || "/" }] }, dom_id: "#reference", deepLinking: true }));
