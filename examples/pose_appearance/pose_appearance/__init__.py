"""The image model of Esser, Haux and Ommer (2019): data, model, methods, training, studies."""
